//! The cookies of a browser, with the rules of RFC 6265bis that matter here.

use std::collections::BTreeMap;

#[derive(Clone, Debug, Default)]
pub struct CookieJar(BTreeMap<String, String>);

impl CookieJar {
    /// Stores a `Set-Cookie` as a browser would that uses https or http.
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

    /// Returns the `Cookie` header.
    pub fn header(&self) -> Option<String> {
        let pairs: Vec<String> = self
            .0
            .iter()
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        (!pairs.is_empty()).then(|| pairs.join("; "))
    }
}
