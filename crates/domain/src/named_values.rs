//! Enums whose values have public names: in JSON, URLs, the database and the log.

use std::fmt;

/// Error for a text that is not one of the names.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct UnknownName {
    pub text: String,
    /// The names that exist.
    pub names: &'static [&'static str],
}

impl fmt::Display for UnknownName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} is not one of {}", self.text, self.names.join(", "))
    }
}

/// Defines an enum whose values have a public name, and a label for users if given. It is text in JSON and in the
/// database.
///
/// JSON is parsed from the name, because a derived deserializer is many times larger in the browser module.
macro_rules! named_values {
    ($(#[$attribute:meta])* pub enum $name:ident {
        $($(#[$value_attribute:meta])* $value:ident = $text:literal, $label:literal;)*
    }) => {
        named_values! {
            $(#[$attribute])* pub enum $name { $($(#[$value_attribute])* $value = $text;)* }
        }

        impl $name {
            /// The label that users read.
            pub fn label(self) -> &'static str {
                match self { $(Self::$value => $label,)* }
            }

            /// The public name and the label, for a select.
            pub fn option(self) -> (&'static str, &'static str) {
                (self.as_str(), self.label())
            }
        }
    };
    ($(#[$attribute:meta])* pub enum $name:ident {
        $($(#[$value_attribute:meta])* $value:ident = $text:literal;)*
    }) => {
        $(#[$attribute])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum $name {
            $($(#[$value_attribute])* $value,)*
        }

        impl $name {
            pub const NAMES: &'static [&'static str] = &[$($text),*];

            pub const ALL: [Self; Self::NAMES.len()] = [$(Self::$value),*];

            /// The public name.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$value => $text,)* }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.as_str())
            }
        }

        impl std::str::FromStr for $name {
            type Err = $crate::named_values::UnknownName;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                let named = Self::ALL.into_iter().find(|value| value.as_str() == text);
                named.ok_or_else(|| $crate::named_values::UnknownName { text: text.to_owned(), names: Self::NAMES })
            }
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(self.as_str())
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = <String as serde::Deserialize>::deserialize(deserializer)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }

        #[cfg(feature = "server")]
        const _: () = {
            use sqlx::{
                Decode, Encode, Postgres, Type,
                encode::IsNull,
                error::BoxDynError,
                postgres::{PgArgumentBuffer, PgHasArrayType, PgTypeInfo, PgValueRef},
            };

            impl Type<Postgres> for $name {
                fn type_info() -> PgTypeInfo {
                    <str as Type<Postgres>>::type_info()
                }

                fn compatible(other: &PgTypeInfo) -> bool {
                    <str as Type<Postgres>>::compatible(other)
                }
            }

            impl PgHasArrayType for $name {
                fn array_type_info() -> PgTypeInfo {
                    <&str as PgHasArrayType>::array_type_info()
                }
            }

            impl Encode<'_, Postgres> for $name {
                fn encode_by_ref(&self, buffer: &mut PgArgumentBuffer) -> Result<IsNull, BoxDynError> {
                    Encode::<Postgres>::encode(self.as_str(), buffer)
                }
            }

            impl Decode<'_, Postgres> for $name {
                fn decode(value: PgValueRef<'_>) -> Result<Self, BoxDynError> {
                    Ok(<&str as Decode<Postgres>>::decode(value)?.parse()?)
                }
            }
        };
    };
}
pub(crate) use named_values;

#[cfg(test)]
mod tests {
    use crate::{session::EndReason, user::Role};

    #[test]
    fn values_round_trip_through_their_names() {
        for reason in EndReason::ALL {
            assert_eq!(reason.as_str().parse(), Ok(reason));
            let json = serde_json::to_string(&reason).expect("JSON");
            assert_eq!(json, format!("\"{reason}\""));
            assert_eq!(
                serde_json::from_str::<EndReason>(&json).expect("a reason"),
                reason
            );
        }
    }

    #[test]
    fn error_lists_the_known_names() {
        let unknown = "Broker".parse::<Role>().expect_err("names are in lower case");
        assert_eq!(
            unknown.to_string(),
            "\"Broker\" is not one of guest, employee, vendor, broker, admin, system_admin"
        );
    }
}
