//! Which file of a crate uses which other one, read from the sources' paths.
//!
//! A path counts for the file that defines what it names, so an item that is re-exported belongs to its origin. Tests
//! do not count; neither does a file that declares or re-exports its own children. Method calls and fields are invisible
//! here, but a file that has a value of a type nearly always names the type.

use std::collections::{BTreeMap, BTreeSet};

use super::tokens::{Token, reads, tokens};

/// A module by its path from the crate's root; the root is empty.
pub(super) type Module = Vec<String>;
type Path = Vec<String>;

/// One file uses something that another one defines.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Arrow {
    pub(super) from: Module,
    pub(super) to: Module,
    pub(super) line: usize,
    /// As it is written, from the crate's root on.
    pub(super) path: String,
}

/// The files of one crate: their modules and texts.
pub(super) struct Crate<'a> {
    /// As other files of the package call it.
    pub(super) name: &'a str,
    pub(super) files: BTreeMap<Module, &'a str>,
}

impl Crate<'_> {
    /// Every arrow once, whatever the number of paths behind it.
    pub(super) fn arrows(&self) -> Vec<Arrow> {
        let mut scans = BTreeMap::new();
        for (module, text) in &self.files {
            let mut scan =
                Scan { of: self, paths: Vec::new(), imports: BTreeMap::new(), tests: BTreeSet::new() };
            scan.items(&tokens(text), module);
            scans.insert(module, scan);
        }
        let tests: BTreeSet<&Module> = scans.values().flat_map(|scan| &scan.tests).collect();
        let is_test = |module: &Module| (1..=module.len()).any(|n| tests.contains(&module[..n].to_vec()));
        let mut arrows: BTreeMap<(&Module, Module), Arrow> = BTreeMap::new();
        for (&module, scan) in scans.iter().filter(|(module, _)| !is_test(module)) {
            for (path, line, kind) in &scan.paths {
                let to = self.home(path, &scans, 0);
                let is_own = to == *module || (*kind == Kind::ReExport && path.starts_with(module));
                if !is_own {
                    let arrow =
                        Arrow { from: module.clone(), to: to.clone(), line: *line, path: path.join("::") };
                    arrows.entry((module, to)).or_insert(arrow);
                }
            }
        }
        arrows.into_values().collect()
    }

    /// The file that defines what a path names.
    fn home(&self, path: &[String], scans: &BTreeMap<&Module, Scan<'_>>, hops: usize) -> Module {
        let length =
            (0..=path.len()).rev().find(|&n| self.files.contains_key(&path[..n])).unwrap_or_default();
        let (module, rest) = path.split_at(length);
        let imported = rest.first().and_then(|name| scans.get(&module.to_vec())?.imports.get(name));
        match imported {
            Some(origin) if hops < 8 && origin != path => {
                self.home(&[origin.as_slice(), &rest[1..]].concat(), scans, hops + 1)
            }
            _ => module.to_vec(),
        }
    }

    /// A path from the root, if it is one of this crate.
    fn absolute(&self, path: &[String], scope: &Module) -> Option<Path> {
        let rest = path.get(1..)?;
        match path[0].as_str() {
            "crate" => Some(rest.to_vec()),
            "self" => Some([scope, rest].concat()),
            "super" => {
                let ups = path.iter().take_while(|part| *part == "super").count();
                Some([&scope[..scope.len().saturating_sub(ups)], &path[ups..]].concat())
            }
            first if first == self.name => Some(rest.to_vec()),
            first => {
                let child = [scope.as_slice(), &[first.to_owned()]].concat();
                self.files.contains_key(&child).then(|| [child.as_slice(), rest].concat())
            }
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Use,
    ReExport,
}

/// What one file names.
struct Scan<'a> {
    of: &'a Crate<'a>,
    paths: Vec<(Path, usize, Kind)>,
    imports: BTreeMap<String, Path>,
    /// Modules that it declares for tests only.
    tests: BTreeSet<Module>,
}

impl Scan<'_> {
    fn items(&mut self, tokens: &[Token], scope: &Module) {
        let mut at = 0;
        while at < tokens.len() {
            if reads(tokens, at, &["#", "["]) && is_for_tests(&tokens[at..after(tokens, at + 1)]) {
                at = self.skip_item(tokens, after(tokens, at + 1), scope);
            } else if reads(tokens, at, &["mod"]) && reads(tokens, at + 2, &["{"]) {
                let end = after(tokens, at + 2);
                let inner = [scope.as_slice(), &[tokens[at + 1].text.clone()]].concat();
                self.items(&tokens[at + 3..end - 1], &inner);
                at = end;
            } else if reads(tokens, at, &["use"]) && !reads(tokens, at + 1, &["<"]) {
                let is_public = at > 0 && (tokens[at - 1].text == "pub" || tokens[at - 1].text == ")");
                let kind = if is_public { Kind::ReExport } else { Kind::Use };
                at = self.tree(tokens, at + 1, &Path::new(), scope, kind);
            } else {
                at = self.path(tokens, at, scope);
            }
        }
    }

    /// One branch of a `use`; gives where it ends.
    fn tree(&mut self, tokens: &[Token], mut at: usize, prefix: &Path, scope: &Module, kind: Kind) -> usize {
        let (mut path, line) = (prefix.clone(), tokens.get(at).map_or(0, |token| token.line));
        loop {
            match tokens.get(at).map(|token| token.text.as_str()) {
                Some("{") => {
                    let end = after(tokens, at);
                    at += 1;
                    while at < end - 1 {
                        at = self.tree(tokens, at, &path, scope, kind);
                        at += usize::from(reads(tokens, at, &[","]));
                    }
                    return end;
                }
                Some("::") => {
                    // `::x` is another crate's.
                    if path.is_empty() {
                        path.push(String::new());
                    }
                    at += 1;
                }
                Some("," | ";" | "}" | "as") | None => break,
                Some(word) => {
                    if word != "self" || path.is_empty() {
                        path.push(word.to_owned());
                    }
                    at += 1;
                }
            }
        }
        let mut name = path.last().cloned().unwrap_or_default();
        if reads(tokens, at, &["as"]) {
            name.clone_from(&tokens[at + 1].text);
            at += 2;
        }
        if let Some(absolute) = self.of.absolute(&path, scope) {
            self.imports.insert(name, absolute.clone());
            self.paths.push((absolute, line, kind));
        }
        at
    }

    /// A path in code, if one begins here; gives where to go on.
    fn path(&mut self, tokens: &[Token], at: usize, scope: &Module) -> usize {
        let follows = |what: &[&str]| at >= what.len() && reads(tokens, at - what.len(), what);
        if follows(&["::"]) || follows(&["."]) || follows(&["(", "in"]) || !reads(tokens, at + 1, &["::"]) {
            return at + 1;
        }
        let mut path = vec![tokens[at].text.clone()];
        let mut end = at + 1;
        while reads(tokens, end, &["::"]) && tokens.get(end + 1).is_some_and(is_word) {
            path.push(tokens[end + 1].text.clone());
            end += 2;
        }
        if let Some(absolute) = self.of.absolute(&path, scope).filter(|_| path.len() > 1) {
            self.paths.push((absolute, tokens[at].line, Kind::Use));
        }
        end
    }

    /// Behind an item that is for tests only.
    fn skip_item(&mut self, tokens: &[Token], mut at: usize, scope: &Module) -> usize {
        while reads(tokens, at, &["#", "["]) {
            at = after(tokens, at + 1);
        }
        let mut is_use = false;
        while let Some(token) = tokens.get(at) {
            match token.text.as_str() {
                ";" => return at + 1,
                "}" => return at,
                "use" => is_use = true,
                "mod" if reads(tokens, at + 2, &[";"]) => {
                    self.tests.insert([scope.as_slice(), &[tokens[at + 1].text.clone()]].concat());
                }
                "{" if !is_use => return after(tokens, at),
                "(" | "[" | "{" => {
                    at = after(tokens, at);
                    continue;
                }
                _ => {}
            }
            at += 1;
        }
        at
    }
}

/// Behind the bracket that closes the one at `at`.
fn after(tokens: &[Token], at: usize) -> usize {
    let mut depth = 0_usize;
    for (index, token) in tokens.iter().enumerate().skip(at) {
        match token.text.as_str() {
            "(" | "[" | "{" => depth += 1,
            ")" | "]" | "}" => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth == 0 {
            return index + 1;
        }
    }
    tokens.len()
}

/// Whether an attribute is a `cfg` that only tests have.
fn is_for_tests(attribute: &[Token]) -> bool {
    let has = |word: &str| attribute.iter().any(|token| token.text == word);
    reads(attribute, 2, &["cfg"]) && has("test") && !has("not") && !has("any")
}

fn is_word(token: &Token) -> bool {
    token.text.starts_with(|c: char| c.is_alphabetic() || c == '_')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arrows(files: &[(&str, &str)]) -> Vec<String> {
        let module =
            |path: &str| path.split("::").filter(|part| !part.is_empty()).map(str::to_owned).collect();
        let files = files.iter().map(|(path, text)| (module(path), *text)).collect();
        let arrows = Crate { name: "made_up", files }.arrows();
        arrows.iter().map(|arrow| format!("{} -> {}", arrow.from.join("::"), arrow.to.join("::"))).collect()
    }

    #[test]
    fn every_way_to_name_a_file_is_an_arrow() {
        for text in [
            "use crate::b::X;",
            "use super::{b::{self, X as Y}};",
            "fn f() -> crate::b::X { todo() }",
            "fn f() { tokio::select! { x = super::b::x() => {} } }",
            "use made_up::b;",
            "mod inline { use super::super::b::X; }",
            "pub(crate) use crate::b::X;",
        ] {
            assert_eq!(
                arrows(&[("", "mod a; mod b;"), ("a", text), ("b", "pub struct X;")]),
                ["a -> b"],
                "{text}"
            );
        }
        assert_eq!(arrows(&[("a", "mod b; fn f() { b::x(); }"), ("a::b", "fn x() {}")]), ["a -> a::b"]);
    }

    #[test]
    fn what_is_re_exported_belongs_to_its_origin() {
        let files = [
            ("a", "mod b; mod c; pub(crate) use self::b::X;"),
            ("a::b", "pub struct X;"),
            ("a::c", "use super::X;"),
            ("d", "use crate::a::X as Y; fn f(y: Y) {}"),
        ];
        assert_eq!(arrows(&files), ["a::c -> a::b", "d -> a::b"]);
    }

    #[test]
    fn tests_comments_and_other_crates_are_no_arrows() {
        let text = "// crate::b::X\nuse ::b::X; use other::b::X; fn f() { self.b(); x.b::<u8>(); \"crate::b::X\" }\n\
            #[cfg(test)] use crate::b::{self, X}; #[cfg(all(test, unix))] #[x] mod tests { use crate::b::X; } \
            #[cfg(test)] fn g() { crate::b::X }\n#[cfg(test)]\nmod fixture;";
        let nothing: [&str; 0] = [];
        assert_eq!(arrows(&[("a", text), ("a::fixture", "use crate::b::X;"), ("b", "struct X;")]), nothing);
    }
}
