//! How server functions answer: JSON, read from text.
//!
//! The framework's own JSON reads from bytes, while a page's data comes as text. Reading both as text leaves one
//! reader a type in the browser's part instead of two, a tenth of its size.

mod error;

pub use error::error_from_query;

use leptos::server_fn::{
    Bytes, ContentType, Decodes, Encodes, Format, FormatType, codec::Post, error::ServerFnErrorErr,
};
use serde::{Serialize, de::DeserializeOwned};

/// The answer of a server function.
pub type TextJson = Post<TextJsonEncoding>;

/// JSON that is read from text.
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
