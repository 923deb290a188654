//! A browser's cookies, with the rules that matter here (RFC 6265bis).

use std::collections::BTreeMap;

#[derive(Clone, Debug, Default)]
pub struct CookieJar(BTreeMap<String, String>);

impl CookieJar {
    /// Takes a `Set-Cookie` as a browser would that reaches the portal by https or not.
    pub fn take(&mut self, set_cookie: &str, https: bool) {
        let mut parts = set_cookie.split(';').map(str::trim);
        let (name, value) = parts
            .next()
            .and_then(|pair| pair.split_once('='))
            .expect("a cookie has a name");
        let attributes: Vec<String> = parts.map(str::to_ascii_lowercase).collect();
        let has = |attribute: &str| attributes.iter().any(|known| known == attribute);
        let with = |start: &str| attributes.iter().find_map(|known| known.strip_prefix(start));
        if has("secure") && !https {
            return;
        }
        if name.starts_with("__Host-") && (!has("secure") || !has("path=/") || with("domain=").is_some()) {
            return;
        }
        let is_over = with("max-age=").is_some_and(|age| age.parse::<i64>().is_ok_and(|age| age <= 0));
        if is_over {
            self.0.remove(name);
        } else {
            self.0.insert(name.to_owned(), value.to_owned());
        }
    }

    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    pub fn set(&mut self, name: &str, value: &str) {
        self.0.insert(name.to_owned(), value.to_owned());
    }

    /// The `Cookie` header.
    pub fn header(&self) -> Option<String> {
        let pairs: Vec<String> = self
            .0
            .iter()
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        (!pairs.is_empty()).then(|| pairs.join("; "))
    }
}
