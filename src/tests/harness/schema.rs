//! Compares responses with the API's own OpenAPI description.

use serde_json::Value;

use super::{Portal, TestResponse};

/// The OpenAPI description of the server.
pub struct Description(Value);

impl Description {
    pub async fn fetch(portal: &Portal) -> Self {
        Self(
            portal
                .anonymous()
                .get("/api/openapi.json")
                .await
                .expect(200)
                .json(),
        )
    }

    /// Returns every operation, such as `DELETE /api/v1/sessions/{id}`.
    pub fn operations(&self) -> Vec<String> {
        let paths = self.0["paths"].as_object().expect("paths");
        let mut all: Vec<String> = paths
            .iter()
            .flat_map(|(path, item)| {
                let methods = item.as_object().expect("methods").keys();
                methods.map(move |method| format!("{} {path}", method.to_uppercase()))
            })
            .collect();
        all.sort();
        all
    }

    /// Fails unless the status is described and the body has exactly the described shape.
    #[track_caller]
    pub fn assert_matches(&self, operation: &str, response: &TestResponse) {
        let (method, path) = operation.split_once(' ').expect("an operation");
        let described = &self.0["paths"][path][method.to_lowercase()];
        let expected = &described["responses"][response.status.to_string()];
        assert!(
            expected.is_object(),
            "{operation}: {} is not described",
            response.status
        );
        let Some(content) = expected["content"].as_object() else {
            assert!(response.body.is_empty(), "{operation}: {}", response.body);
            return;
        };
        let kind = response.header("content-type").expect("a content type");
        // Without `; charset=utf-8`.
        let kind = kind.split(';').next().unwrap_or_default();
        let media = content
            .get(kind)
            .unwrap_or_else(|| panic!("{operation}: {kind} is not described"));
        let value = if kind.ends_with("json") {
            response.json()
        } else {
            Value::String(response.body.clone())
        };
        if let Err(problem) = self.check(&media["schema"], &value) {
            panic!("{operation} {}: {problem}\n{}", response.status, response.body);
        }
    }

    fn check(&self, schema: &Value, value: &Value) -> Result<(), String> {
        if let Some(name) = schema["$ref"].as_str() {
            let pointer = name
                .strip_prefix('#')
                .ok_or_else(|| format!("{name} is elsewhere"))?;
            let schema = self
                .0
                .pointer(pointer)
                .ok_or_else(|| format!("{name} is not there"))?;
            return self.check(schema, value);
        }
        if let Some(choices) = schema["oneOf"].as_array() {
            let fits = choices.iter().any(|choice| self.check(choice, value).is_ok());
            return fits
                .then_some(())
                .ok_or_else(|| format!("{value} is none of {choices:?}"));
        }
        if let Some(parts) = schema["allOf"].as_array() {
            return self.check_object(parts, value);
        }
        if let Some(values) = schema["enum"].as_array() {
            return values
                .contains(value)
                .then_some(())
                .ok_or_else(|| format!("{value} is none of {values:?}"));
        }
        let types: Vec<&str> = match &schema["type"] {
            Value::String(one) => vec![one],
            Value::Array(some) => some.iter().filter_map(Value::as_str).collect(),
            _ => return Err(format!("a schema without a type: {schema}")),
        };
        let is = match value {
            Value::Null => "null",
            Value::Bool(_) => "boolean",
            Value::Number(number) if number.is_i64() || number.is_u64() => "integer",
            Value::Number(_) => "number",
            Value::String(_) => "string",
            Value::Array(_) => "array",
            Value::Object(_) => "object",
        };
        if !types.contains(&is) {
            return Err(format!("{value} is no {types:?}"));
        }
        match value {
            Value::Object(_) => self.check_object(std::slice::from_ref(schema), value),
            Value::Array(items) => items
                .iter()
                .try_for_each(|item| self.check(&schema["items"], item)),
            Value::String(text) => check_format(schema["format"].as_str().unwrap_or_default(), text),
            _ => Ok(()),
        }
    }

    /// Checks that every field is described by one of the parts, and that required fields exist.
    fn check_object(&self, parts: &[Value], value: &Value) -> Result<(), String> {
        let fields = value.as_object().ok_or_else(|| format!("{value} is no object"))?;
        let mut described = Vec::new();
        for part in parts {
            let part = match part["$ref"].as_str() {
                Some(name) => self.0.pointer(name.trim_start_matches('#')).ok_or("not there")?,
                None => part,
            };
            // An optional part that is absent.
            let optional = part["oneOf"]
                .as_array()
                .and_then(|choices| choices.iter().find(|c| c["$ref"].is_string()));
            let part = match optional.and_then(|choice| choice["$ref"].as_str()) {
                Some(name) => self.0.pointer(name.trim_start_matches('#')).ok_or("not there")?,
                None => part,
            };
            if part["properties"].is_null() && !part["additionalProperties"].is_null() {
                // Any field names; their values are not described further.
                return Ok(());
            }
            let properties = part["properties"]
                .as_object()
                .ok_or_else(|| format!("no properties: {part}"))?;
            let required: Vec<&str> = part["required"]
                .as_array()
                .into_iter()
                .flatten()
                .filter_map(Value::as_str)
                .collect();
            let absent = optional.is_some() && required.iter().all(|name| !fields.contains_key(*name));
            for name in required.iter().filter(|_| !absent) {
                if !fields.contains_key(*name) {
                    return Err(format!("{name} is missing"));
                }
            }
            for (name, schema) in properties {
                if let Some(value) = fields.get(name) {
                    self.check(schema, value)
                        .map_err(|problem| format!("{name}: {problem}"))?;
                }
                described.push(name.as_str());
            }
        }
        match fields.keys().find(|name| !described.contains(&name.as_str())) {
            Some(name) => Err(format!("{name} is not described")),
            None => Ok(()),
        }
    }
}

fn check_format(format: &str, text: &str) -> Result<(), String> {
    let fits = match format {
        "" => true,
        "uuid" => text.parse::<uuid::Uuid>().is_ok(),
        "date-time" => domain::time::parse_rfc3339(text).is_some(),
        other => return Err(format!("no one looks at the format {other}")),
    };
    fits.then_some(())
        .ok_or_else(|| format!("{text:?} is no {format}"))
}
