//! `docs/http.md` against `/openapi.json`, which the server makes from the code that routes: neither says what the other
//! does not.

use std::collections::BTreeSet;

use serde_json::Value;

use super::page::{Example, code, examples, names, rows};
use super::{PAGE, STREAMS_PAGE};
use crate::process::Server;

struct Document(Value);

impl Document {
    fn of(server: &Server) -> Self {
        let answer = server.get("/openapi.json");
        Self(serde_json::from_str(answer.split_once("\r\n\r\n").unwrap().1).unwrap())
    }

    /// The object that a `$ref` names.
    fn resolved<'a>(&'a self, value: &'a Value) -> &'a Value {
        value["$ref"].as_str().map_or(value, |path| self.0.pointer(&path[1..]).unwrap())
    }

    /// The paths of the service, without files, and their methods but for HEAD and OPTIONS.
    fn paths(&self) -> BTreeSet<(String, BTreeSet<String>)> {
        let paths = self.0["paths"].as_object().unwrap().iter();
        let paths = paths.filter(|(_, item)| item["get"]["tags"][0] != "page");
        let methods = |item: &Value| {
            let methods = item.as_object().unwrap().keys().map(|method| method.to_uppercase());
            methods.filter(|method| !matches!(&**method, "HEAD" | "OPTIONS" | "PARAMETERS")).collect()
        };
        paths.map(|(path, item)| (path.clone(), methods(item))).collect()
    }

    /// The names of all parameters in one place.
    fn parameters(&self, place: &str) -> BTreeSet<String> {
        let parameters = self.0["components"]["parameters"].as_object().unwrap().values();
        let there = parameters.filter(|parameter| parameter["in"] == place);
        there.map(|parameter| parameter["name"].as_str().unwrap().to_owned()).collect()
    }

    fn operation(&self, method: &str, path: &str) -> Option<&Value> {
        let fits = |template: &str| {
            let (template, path) = (template.split('/'), path.split('/'));
            template.clone().count() == path.clone().count()
                && template.zip(path).all(|(part, given)| part == given || part.starts_with('{'))
        };
        let mut paths = self.0["paths"].as_object().unwrap().iter();
        let item =
            self.0["paths"].get(path).or_else(|| paths.find(|(path, _)| fits(path)).map(|(_, item)| item));
        item?.get(method.to_lowercase())
    }
}

#[test]
fn the_page_lists_the_paths_and_parameters_of_the_document() {
    let server = Server::start(&["--presence", "--admin-token", "operator"]);
    let document = Document::of(&server);
    let listed: BTreeSet<(String, BTreeSet<String>)> = rows(PAGE, &["path", "methods"])
        .iter()
        .chain(&rows(PAGE, &["path of administration", "methods"]))
        .map(|row| {
            let path = code(&row.cells[0]).next().unwrap().to_owned();
            (path, code(&row.cells[1]).map(str::to_owned).collect())
        })
        .filter(|(path, _)| path != "/")
        .collect();
    assert_eq!(listed, document.paths());

    let tables = [
        &["parameter"][..],
        &["parameter of `/events`"],
        &["parameter of `/api/poll/{channel}`"],
        &["parameter of `/admin/channels`"],
    ];
    let mut listed: BTreeSet<String> = ["after".to_owned()].into();
    assert!(PAGE.contains("`after`"), "of chat, which has no table");
    for heading in tables {
        listed.extend(names(&rows(PAGE, heading)).map(str::to_owned));
    }
    listed.extend(names(&rows(STREAMS_PAGE, &["parameter"])).map(str::to_owned));
    assert_eq!(listed, document.parameters("query"));

    let pages = [PAGE, STREAMS_PAGE].map(|page| rows(page, &["header", "meaning"]));
    let headers: BTreeSet<&str> = pages.iter().flat_map(|rows| names(rows)).collect();
    for header in document.parameters("header") {
        assert!(headers.contains(&*header), "docs/http.md does not name the header `{header}`");
    }
    for (header, _) in document.0["components"]["headers"].as_object().unwrap() {
        assert!(headers.contains(&**header), "docs/http.md does not name the header `{header}`");
    }
}

#[test]
fn every_example_is_an_operation_with_its_status_and_headers() {
    let server = Server::start(&["--presence", "--admin-token", "operator"]);
    let document = Document::of(&server);
    for Example { line, request, response, .. } in examples(PAGE) {
        let mut words = request.start.split(' ');
        let (method, target) = (words.next().unwrap(), words.next().unwrap());
        let status = response.start.split(' ').nth(1).unwrap();
        let Some(operation) = document.operation(method, target.split('?').next().unwrap()) else {
            assert!(matches!(status, "404" | "405"), "docs/http.md:{line}: not in the document");
            continue;
        };
        let answer = document.resolved(&operation["responses"][status]);
        assert!(answer.is_object(), "docs/http.md:{line}: the document has no {status} there");
        let media = response.headers.iter().find(|(name, _)| name == "Content-Type" && method != "HEAD");
        if let Some((_, media)) = media {
            let media = media.split(';').next().unwrap();
            assert!(answer["content"][media].is_object(), "docs/http.md:{line}: the document has no {media}");
        }
        let described: BTreeSet<String> = operation["parameters"]
            .as_array()
            .unwrap()
            .iter()
            .map(|parameter| document.resolved(parameter)["name"].as_str().unwrap().to_lowercase())
            .collect();
        let query = target.split_once('?').map_or("", |(_, query)| query);
        for name in query.split('&').filter_map(|pair| pair.split('=').next()).filter(|name| !name.is_empty())
        {
            let known = described.contains(&name.to_lowercase()) || name == "access_token";
            assert!(known, "docs/http.md:{line}: the document has no parameter `{name}` there");
        }
    }
}
