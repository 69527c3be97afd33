//! The description of an HTTP interface, as JSON for programs and as a page for people.

use std::fmt::Write;

use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http::HeaderValue;
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use serde_json::Value;

use crate::page;

/// An OpenAPI document in its two forms.
#[derive(Debug, Clone)]
pub struct Documents {
    json: Bytes,
    page: Bytes,
}

impl Documents {
    /// Both forms of the document `json`.
    pub fn new(json: String) -> Self {
        let page = render(&serde_json::from_str(&json).unwrap_or_default());
        Self { json: json.into(), page: page.into() }
    }

    /// The document itself.
    pub fn json(&self) -> Response {
        let headers = [
            (CONTENT_TYPE, HeaderValue::from_static("application/json")),
            (CACHE_CONTROL, HeaderValue::from_static("no-cache")),
        ];
        (headers, self.json.clone()).into_response()
    }

    /// The document as a page without scripts. Its style is expected at [`page::STYLE_PATH`].
    pub fn page(&self) -> Response {
        page::html(self.page.clone())
    }
}

/// Writes the page for an OpenAPI document.
fn render(document: &Value) -> String {
    let mut html = String::from(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\
         <meta name=\"color-scheme\" content=\"light dark\"><title>HTTP interface</title>\
         <link rel=\"stylesheet\" href=\"",
    );
    html.push_str(page::STYLE_PATH);
    html.push_str("\"><link rel=\"icon\" href=\"data:,\"></head><body><main class=\"wide\">");
    let info = &document["info"];
    // Writing to a String cannot fail.
    let _ = write!(
        html,
        "<h1>{}</h1><p class=\"lead\">{}</p><p>Version {}. For programs: <a href=\"/openapi.json\">openapi.json</a></p>",
        text(&info["title"]),
        text(&info["description"]),
        text(&info["version"])
    );
    for (path, methods) in members(&document["paths"]) {
        for (method, operation) in members(methods) {
            html.push_str(&operation_article(path, method, operation));
        }
    }
    html.push_str("<h2>Shapes</h2>");
    for (name, schema) in members(&document["components"]["schemas"]) {
        html.push_str(&shape_article(name, schema));
    }
    html.push_str("</main></body></html>\n");
    html
}

fn operation_article(path: &str, method: &str, operation: &Value) -> String {
    let mut html = format!(
        "<article><h2 id=\"{id}\"><span class=\"method\">{method}</span> <code>{path}</code></h2><p>{summary}</p>",
        id = escape(operation["operationId"].as_str().unwrap_or_default()),
        method = escape(&method.to_uppercase()),
        path = escape(path),
        summary = text(&operation["summary"]),
    );
    if let Some(more) = operation["description"].as_str() {
        let _ = write!(html, "<p>{}</p>", code_spans(&escape(more)));
    }
    let parameters = operation["parameters"].as_array().into_iter().flatten();
    html.push_str(&table("Parameters", parameters.map(|p| (text(&p["name"]), text(&p["description"])))));
    if let Some(shape) = shape_name(&operation["requestBody"]) {
        let _ = write!(html, "<p>Body: <a href=\"#{shape}\">{shape}</a></p>");
    }
    let answers =
        members(&operation["responses"]).map(|(status, answer)| (escape(status), answer_words(answer)));
    html.push_str(&table("Answers", answers));
    html.push_str("</article>");
    html
}

fn answer_words(answer: &Value) -> String {
    let words = text(&answer["description"]);
    match shape_name(answer).filter(|shape| shape != "Problem") {
        Some(shape) => format!("<a href=\"#{shape}\">{shape}</a> {words}"),
        None => words,
    }
}

fn shape_article(name: &str, schema: &Value) -> String {
    let properties = members(&schema["properties"]);
    format!(
        "<article><h3 id=\"{name}\">{name}</h3><p>{what}</p>{table}</article>",
        name = escape(name),
        what = text(&schema["description"]),
        table = table(
            "Members",
            properties.map(|(name, property)| (escape(name), text(&property["description"])))
        ),
    )
}

/// The name of the schema of a request body or an answer.
fn shape_name(message: &Value) -> Option<String> {
    let (_, content) = members(&message["content"]).next()?;
    Some(escape(content["schema"]["$ref"].as_str()?.rsplit('/').next()?))
}

fn table(caption: &str, rows: impl Iterator<Item = (String, String)>) -> String {
    let mut html = String::new();
    for (name, what) in rows {
        if html.is_empty() {
            let _ = write!(html, "<table><caption>{caption}</caption>");
        }
        let _ = write!(html, "<tr><th scope=\"row\"><code>{name}</code></th><td>{what}</td></tr>");
    }
    if !html.is_empty() {
        html.push_str("</table>");
    }
    html
}

fn members(value: &Value) -> impl Iterator<Item = (&str, &Value)> {
    value.as_object().into_iter().flatten().map(|(name, value)| (name.as_str(), value))
}

fn text(value: &Value) -> String {
    code_spans(&escape(value.as_str().unwrap_or_default()))
}

/// Markdown's `code`, the only markup in our descriptions.
fn code_spans(escaped: &str) -> String {
    escaped
        .split('`')
        .enumerate()
        .map(|(at, part)| if at % 2 == 1 { format!("<code>{part}</code>") } else { part.to_owned() })
        .collect()
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
