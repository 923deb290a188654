//! The encoding of server functions: JSON, parsed from text.
//!
//! The framework parses its JSON from bytes, but page data from text. Parsing both from text needs one deserializer
//! per type instead of two, which saves a tenth of the browser module.

mod error;

pub use error::error_from_query;

use leptos::server_fn::{
    Bytes, ContentType, Decodes, Encodes, Format, FormatType, codec::Post, error::ServerFnErrorErr,
};
use serde::{Serialize, de::DeserializeOwned};

/// The encoding of a response.
pub type TextJson = Post<TextJsonEncoding>;

/// JSON, parsed from text.
pub struct TextJsonEncoding;

impl ContentType for TextJsonEncoding {
    const CONTENT_TYPE: &'static str = "application/json";
}

impl FormatType for TextJsonEncoding {
    const FORMAT_TYPE: Format = Format::Text;
}

impl<T: Serialize> Encodes<T> for TextJsonEncoding {
    type Error = ServerFnErrorErr;

    fn encode(output: &T) -> Result<Bytes, ServerFnErrorErr> {
        let wrong = |error: serde_json::Error| ServerFnErrorErr::Serialization(error.to_string());
        serde_json::to_string(output).map(Bytes::from).map_err(wrong)
    }
}

impl<T: DeserializeOwned> Decodes<T> for TextJsonEncoding {
    type Error = ServerFnErrorErr;

    fn decode(bytes: Bytes) -> Result<T, ServerFnErrorErr> {
        let wrong = |error: &dyn std::fmt::Display| ServerFnErrorErr::Deserialization(error.to_string());
        let text = std::str::from_utf8(&bytes).map_err(|error| wrong(&error))?;
        serde_json::from_str(text).map_err(|error| wrong(&error))
    }
}
