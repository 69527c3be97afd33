//! `GET /openapi.json`, and `GET /openapi`, the same for people.

use std::fmt::Write;
use std::sync::Arc;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::HeaderValue;
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use serde_json::Value;

use crate::app::App;

/// The document, from the code that runs.
pub(crate) async fn json(State(app): State<Arc<App>>) -> Response {
    let headers = [
        (CONTENT_TYPE, HeaderValue::from_static("application/json")),
        (CACHE_CONTROL, HeaderValue::from_static("no-cache")),
    ];
    (headers, app.openapi.json.clone()).into_response()
}

/// The document as a page.
pub(crate) async fn page(State(app): State<Arc<App>>) -> Response {
    super::web::page_of_ours(app.openapi.page.clone())
}

/// Writes the page for an OpenAPI document.
pub(crate) fn render(document: &Value) -> String {
    let mut html = String::from(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\
         <meta name=\"color-scheme\" content=\"light dark\"><title>HTTP interface</title>\
         <link rel=\"stylesheet\" href=\"/assets/page.css\"><link rel=\"icon\" href=\"data:,\"></head>\
         <body><main class=\"wide\">",
    );
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
    let responses = members(&operation["responses"]);
    html.push_str(&table("Answers", responses.map(|(status, r)| (escape(status), text(&r["description"])))));
    html.push_str("</article>");
    html
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
