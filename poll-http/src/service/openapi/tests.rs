//! The document against the code that it describes.

use std::collections::BTreeSet;

use bytes::Bytes;
use http::{Method, Request};
use http_body_util::Full;
use poll_core::{ChannelName, Payload, Publish, Retention, Store};

use super::*;
use crate::access::administration::Administration;
use crate::message::asked;
use crate::service::handle::Service;
use crate::service::mount::Mount;
use crate::worker::settings::{Compress, KeepPresence};

/// Fields that concern every request or its connection alone, and those that OpenAPI names elsewhere.
const OF_ANY: [&str; 19] = [
    "accept",
    "accept-encoding",
    "access-control-request-method",
    "access_token",
    "authorization",
    "connection",
    "content-length",
    "content-type",
    "expect",
    "host",
    "origin",
    "sec-fetch-site",
    "te",
    "traceparent",
    "transfer-encoding",
    "x-forwarded-for",
    "x-forwarded-proto",
    "x-real-ip",
    "x-request-id",
];

fn described() -> Value {
    described_to(&Grant::all())
}

/// Everything that a service can have.
fn all() -> ServiceSettings {
    let administration = Administration { tokens: vec!["t".to_owned()], ..Administration::default() };
    ServiceSettings {
        presence: KeepPresence::On,
        compress: Compress::On,
        administration,
        ..ServiceSettings::default()
    }
}

fn described_to(anyone: &Grant) -> Value {
    document(Subject { settings: &all(), site: &Site::of_page("<p>"), anyone }, "/")
}

/// The object that a `$ref` names.
fn resolved<'a>(document: &'a Value, value: &'a Value) -> &'a Value {
    value["$ref"].as_str().map_or(value, |path| {
        document.pointer(&path[1..]).unwrap_or_else(|| panic!("{path} is not in the document"))
    })
}

/// Each operation with its path and method.
fn operations(document: &Value) -> Vec<(String, String, &Value)> {
    let paths = document["paths"].as_object().unwrap();
    let all = paths.iter().flat_map(|(path, item)| {
        let item = item.as_object().unwrap();
        let item = item.iter().filter(|(method, _)| *method != "parameters");
        item.map(|(method, operation)| (path.clone(), method.to_uppercase(), operation))
    });
    all.collect()
}

/// The address that an operation's examples make.
fn example(document: &Value, path: &str, operation: &Value) -> String {
    let (mut path, mut query) = (path.to_owned(), Vec::new());
    for parameter in operation["parameters"].as_array().unwrap() {
        let parameter = resolved(document, parameter);
        let name = parameter["name"].as_str().unwrap();
        let example = &parameter["example"];
        let value = example.as_str().map_or_else(|| example.to_string(), str::to_owned);
        match parameter["in"].as_str().unwrap() {
            "path" => path = path.replace(&format!("{{{name}}}"), &value),
            "query" if parameter["required"] == true => query.push(format!("{name}={value}")),
            _ => {}
        }
    }
    format!("http://localhost{path}?{}", query.join("&"))
}

#[test]
fn each_path_has_the_methods_that_the_router_allows() {
    let document = described();
    let paths = document["paths"].as_object().unwrap();
    for path in PATHS {
        let item = &paths[*path].as_object().unwrap();
        let methods = item.keys().filter(|method| *method != "parameters");
        let described: BTreeSet<String> = methods.map(|method| method.to_uppercase()).collect();
        let target = target(path);
        assert_ne!(target, Target::File, "{path}");
        let allowed: BTreeSet<String> = target.allow().split(", ").map(str::to_owned).collect();
        assert_eq!(described, allowed, "{path}");
        for method in allowed {
            assert!(
                target.action(&Method::from_bytes(method.as_bytes()).unwrap()).is_ok(),
                "{method} {path}"
            );
        }
    }
    assert_eq!(paths.len(), PATHS.len() + 1, "the others are files");
}

/// Both ways: what is read and not described, and what is described and not read.
#[tokio::test(start_paused = true)]
async fn the_parameters_are_those_that_are_read() {
    let document = described();
    let store = Store::in_memory(Retention::default());
    let service = Service::builder(store).settings(all()).site(Site::of_page("<p>")).build();
    let (news, message) = (ChannelName::parse("news").unwrap(), Publish::one(Payload::text("x")));
    service.publish(&news, message.clone()).await.unwrap();
    let mount = Mount::new(service.clone(), "");
    // The one that is cut.
    let listed = service.list_connection(([127, 0, 0, 1], 1).into()).unwrap();
    let connection = format!("/admin/connections/{}", listed.record().state(0).id);
    for (path, method, operation) in operations(&document) {
        if path.contains("/__ds/") {
            // They read their path and their content only.
            let parameters = operation["parameters"].as_array().unwrap().iter();
            assert!(parameters.map(|one| resolved(&document, one)).all(|one| one["in"] == "path"), "{path}");
            continue;
        }
        let uri = example(&document, &path, operation).replace("/admin/connections/1", &connection);
        let request = Request::builder().method(&*method).uri(uri);
        let request = request.header("x-client-id", "ann").header("content-type", "application/json");
        let request = request.header("authorization", "Bearer t");
        if path.starts_with("/v1/") || path.starts_with("/admin/") {
            // An operation before this one may have deleted it.
            service.store().delete(service.store().environment().now(), &news).await.unwrap();
            service.publish(&news, message.clone()).await.unwrap();
        }
        let body = match &*method {
            "POST" => r#"{"step":1,"total":2,"body":"","category":"c","data":1}"#,
            "PUT" if path.starts_with("/admin/") => "{}",
            _ => "",
        };
        asked::take();
        let answer =
            mount.answer(request.body(Full::new(Bytes::from(body))).unwrap(), ([127, 0, 0, 1], 1).into());
        assert!(answer.await.status().as_u16() < 300, "{method} {path}");
        let read: BTreeSet<String> =
            asked::take().into_iter().filter(|name| !OF_ANY.contains(&name.as_str())).collect();
        let described = operation["parameters"].as_array().unwrap().iter().filter_map(|parameter| {
            let parameter = resolved(&document, parameter);
            let (name, place) = (parameter["name"].as_str().unwrap(), parameter["in"].as_str().unwrap());
            match place {
                "header" => Some(name.to_lowercase()),
                "query" => Some(name.to_owned()),
                _ => None,
            }
        });
        assert_eq!(described.collect::<BTreeSet<_>>(), read, "{method} {path}");
    }
}

#[test]
fn nothing_is_referred_to_that_is_missing_and_nothing_is_left_over() {
    let document = described();
    let text = document.to_string();
    assert!(!text.contains("{{"), "a limit is left out");
    for (kind, components) in document["components"].as_object().unwrap() {
        for name in components.as_object().unwrap().keys() {
            let used = text.contains(&format!("\"#/components/{kind}/{name}\""));
            assert!(used || kind == "securitySchemes", "{kind}/{name} is not used");
        }
    }
    for reference in text.split("\"$ref\":\"#").skip(1) {
        let path = reference.split('"').next().unwrap();
        assert!(document.pointer(path).is_some(), "{path}");
    }
    let ids: Vec<&str> =
        operations(&document).into_iter().map(|(_, _, o)| o["operationId"].as_str().unwrap()).collect();
    assert_eq!(ids.iter().collect::<BTreeSet<_>>().len(), ids.len(), "{ids:?}");
}

#[tokio::test]
async fn it_is_not_sent_again_and_names_the_path_that_it_is_mounted_at() {
    let service = Service::builder(Store::in_memory(Retention::default())).build();
    let ask = async |mount: &Mount, path: &str, tag: &str| {
        let request = Request::get(format!("http://localhost{path}"))
            .header("if-none-match", tag)
            .body(Full::new(Bytes::new()))
            .unwrap();
        let response = mount.answer(request, ([127, 0, 0, 1], 1).into()).await;
        let (head, body) = response.into_parts();
        let body = http_body_util::BodyExt::collect(body).await.unwrap().to_bytes();
        let tag = head.headers[http::header::ETAG].to_str().unwrap().to_owned();
        (head.status.as_u16(), tag, serde_json::from_slice(&body).unwrap_or(Value::Null))
    };
    let whole = Mount::new(service.clone(), "");
    let (status, tag, document) = ask(&whole, "/openapi.json", "").await;
    assert_eq!((status, document["servers"][0]["url"].as_str()), (200, Some("/")));
    assert_eq!(ask(&whole, "/openapi.json", &format!("\"x\", {tag}")).await.0, 304);
    for mount in [Mount::new(service.clone(), "/news"), Mount::nested(service, "/news")] {
        let path =
            if format!("{mount:?}").contains("Whole") { "/news/openapi.json" } else { "/openapi.json" };
        let (status, other, document) = ask(&mount, path, &tag).await;
        assert_eq!((status, document["servers"][0]["url"].as_str()), (200, Some("/news")));
        assert_eq!(ask(&mount, path, &other).await.0, 304);
    }
}

#[test]
fn an_operation_needs_a_token_where_its_right_is_not_everyones() {
    let readable = Grant { publish: Scope::Nothing, ..Grant::all() };
    let document = described_to(&readable);
    for (path, method, operation) in operations(&document) {
        if path.starts_with("/admin/") {
            // Another token.
            continue;
        }
        let open = operation["security"].as_array().is_none_or(|all| all.contains(&json!({})));
        let writes = operation["x-right"] == "publish";
        assert_eq!(open, !writes, "{method} {path}");
        assert_eq!(
            writes,
            (matches!(&*method, "POST" | "PUT" | "DELETE") && !path.contains("/__ds/"))
                || (path == "/api/progress" && method != "OPTIONS"),
            "{method} {path}"
        );
    }
}
