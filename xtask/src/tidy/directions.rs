//! Which file may use which: no circle of files in any crate, and the direction of the modules of poll-http.
//!
//! Words that two files share have a file of their own below both. A file may use its children, a child never what its
//! parent or another file above it defines, and of two other files at most one uses the other. What counts as use is said in `arrows.rs`.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::arrows::{Arrow, Crate, Module};
use super::fault::Fault;
use super::sources::is_test;

/// The crate whose top modules form layers.
const LAYERED: &str = "poll-http";
/// Most entries at the top of its sources; `name.rs` and `name/` are one.
const MOST_ENTRIES: usize = 12;
/// The layers, and which others each may use. The crate's root wires them together and may use all.
const LAYERS: &[(&str, &[&str])] = &[
    ("message", &[]),
    ("access", &["message"]),
    ("presence", &["message"]),
    ("worker", &["message", "access", "presence"]),
    ("admin", &["message", "worker", "access", "presence"]),
    ("dialect", &["message", "worker", "access", "presence"]),
    ("stream", &["message", "worker", "access", "dialect"]),
    ("pattern", &["message", "worker", "access", "dialect", "stream"]),
    ("service", &["message", "worker", "access", "presence", "admin", "dialect", "stream", "pattern"]),
    ("transport", &["message"]),
];
/// What the transport may use of the workers.
const TRANSPORT_KNOWS: &[&str] = &["budget", "clock", "drain", "metrics", "timer_wheel"];
/// Layers whose files never use each other, and the files in them that all share.
const PEERS: &[(&str, &[&str])] = &[
    ("pattern", &[]),
    ("dialect", &["format", "frame", "message_list", "object", "question", "stream_event", "timeout"]),
];

/// A crate's files by their paths from the project's root, with their texts.
type Files<'a> = BTreeMap<&'a str, BTreeMap<Module, (&'a str, &'a str)>>;

/// Faults of all product sources.
pub(super) fn check(files: &[(&str, &str)]) -> Vec<Fault> {
    let mut faults = Vec::new();
    for (folder, files) in sort(files) {
        let name = folder.rsplit('/').next().unwrap_or(folder).replace('-', "_");
        let texts = files.iter().map(|(module, (_, text))| (module.clone(), *text)).collect();
        let arrows = Crate { name: &name, files: texts }.arrows();
        let path = |module: &Module| {
            let root = files.iter().find(|(module, _)| module.is_empty() || module[..] == ["main"]);
            files.get(module).or(root.map(|(_, file)| file)).map_or(folder, |(path, _)| path)
        };
        // A program beside its library is not below it.
        let below = |arrow: &&Arrow| arrow.from.starts_with(&arrow.to) && arrow.from[..] != ["main"];
        for arrow in arrows.iter().filter(below) {
            let what = format!("uses `{}`, which a file above it defines", arrow.path);
            faults.push(Fault::new(path(&arrow.from), arrow.line, what));
        }
        for circle in circles(&arrows) {
            let names: Vec<&str> = circle.iter().map(path).collect();
            faults.push(Fault::new(names[0], 0, format!("stands in a circle: {}", names.join(" → "))));
        }
        if folder == LAYERED {
            faults.extend(layers(&files.keys().collect::<Vec<_>>(), &arrows, path));
        }
    }
    faults
}

/// The files of each crate. A program with a folder of its own in `src/bin` counts as a crate.
fn sort<'a>(files: &[(&'a str, &'a str)]) -> Files<'a> {
    let mut crates = Files::new();
    for &(path, text) in files {
        let Some((folder, inside)) = path.split_once("/src/").filter(|_| !is_test(path)) else { continue };
        let program = inside.strip_prefix("bin/").and_then(|rest| rest.split_once('/'));
        let (folder, inside) = match program {
            Some((_, rest)) => (&path[..path.len() - rest.len() - 1], rest),
            None => (folder, inside),
        };
        let Some(module) = inside.strip_suffix(".rs") else { continue };
        let module = module.strip_suffix("/mod").unwrap_or(module);
        let module = if module == "lib" || (module == "main" && program.is_some()) { "" } else { module };
        let module = module.split('/').filter(|part| !part.is_empty()).map(str::to_owned).collect();
        crates.entry(folder).or_default().insert(module, (path, text));
    }
    crates
}

/// The shortest circle through each file that stands in one, each circle once.
fn circles(arrows: &[Arrow]) -> BTreeSet<Vec<Module>> {
    let mut uses: BTreeMap<&Module, Vec<&Module>> = BTreeMap::new();
    for arrow in arrows {
        uses.entry(&arrow.from).or_default().push(&arrow.to);
    }
    let mut circles = BTreeSet::new();
    for &start in uses.keys() {
        let mut came_from: BTreeMap<&Module, &Module> = BTreeMap::new();
        let mut queue = VecDeque::from([start]);
        while let Some(here) = queue.pop_front() {
            for &next in uses.get(here).into_iter().flatten().filter(|next| **next != here) {
                if !came_from.contains_key(next) {
                    came_from.insert(next, here);
                    queue.push_back(next);
                }
            }
        }
        if !came_from.contains_key(start) {
            continue;
        }
        let mut circle = vec![start.clone()];
        let mut at = came_from[start];
        while at != start {
            circle.push(at.clone());
            at = came_from[at];
        }
        circle.reverse();
        // The same circle looks the same wherever it was entered.
        let first = (0..circle.len()).min_by_key(|&index| &circle[index]).unwrap_or_default();
        circle.rotate_left(first);
        circles.insert(circle);
    }
    circles
}

/// Faults of the directions between the layers.
fn layers<'a>(modules: &[&Module], arrows: &[Arrow], path: impl Fn(&Module) -> &'a str) -> Vec<Fault> {
    let mut faults = Vec::new();
    let top: BTreeSet<&str> =
        modules.iter().map(|module| module.first().map_or("lib", String::as_str)).collect();
    if top.len() > MOST_ENTRIES {
        let what = format!("{} entries at the top, more than {MOST_ENTRIES}", top.len());
        faults.push(Fault::new(&format!("{LAYERED}/src"), 0, what));
    }
    for arrow in arrows {
        let (Some(from), Some(to)) = (arrow.from.first(), arrow.to.first()) else { continue };
        let Some((_, knows)) = LAYERS.iter().find(|(layer, _)| layer == from) else { continue };
        let file = |module: &Module| module.get(1).cloned().unwrap_or_default();
        let what = if from == to {
            let shared = PEERS.iter().find(|(layer, _)| layer == from).map(|(_, shared)| *shared);
            let (one, other) = (file(&arrow.from), file(&arrow.to));
            let is_free = one == other
                || one.is_empty()
                || shared.is_none_or(|shared| shared.contains(&other.as_str()));
            (!is_free).then(|| format!("`{from}/{one}` uses `{from}/{other}`: its kind never use each other"))
        } else {
            let is_told =
                from == "transport" && to == "worker" && TRANSPORT_KNOWS.contains(&file(&arrow.to).as_str());
            (!knows.contains(&to.as_str()) && !is_told).then(|| format!("`{from}` does not use `{to}`"))
        };
        if let Some(what) = what {
            faults.push(Fault::new(path(&arrow.from), arrow.line, format!("{what} ({})", arrow.path)));
        }
    }
    faults
}

#[cfg(test)]
mod tests {
    use super::*;

    fn faults(files: &[(&str, &str)]) -> Vec<String> {
        check(files).iter().map(ToString::to_string).collect()
    }

    const NONE: [&str; 0] = [];

    #[test]
    fn a_circle_is_shown_once_and_by_the_shortest_way_through_each_file() {
        let files = [
            ("x/src/lib.rs", "mod a; mod b; mod c;"),
            ("x/src/a.rs", "use crate::b::B; use crate::c::C;"),
            ("x/src/b.rs", "use crate::c::C;"),
            ("x/src/c.rs", "use crate::a::A;"),
        ];
        let shown = faults(&files);
        assert_eq!(shown.len(), 2, "by way of b, and without it: {shown:?}");
        assert_eq!(shown[1], "x/src/a.rs: stands in a circle: x/src/a.rs → x/src/c.rs");
        let cut = [files[0], files[1], files[2], ("x/src/c.rs", "")];
        assert_eq!(faults(&cut), NONE);
    }

    #[test]
    fn a_child_does_not_use_what_a_file_above_it_defines() {
        let used = [("x/src/a.rs", "mod b; struct A;"), ("x/src/a/b.rs", "use super::A;")];
        assert_eq!(faults(&used), ["x/src/a/b.rs:1: uses `a::A`, which a file above it defines"]);
        let passed_on = [
            ("x/src/a.rs", "mod b; mod c; pub(super) use self::c::C;"),
            ("x/src/a/b.rs", "use super::C;"),
            ("x/src/a/c.rs", "pub struct C;"),
        ];
        assert_eq!(faults(&passed_on), NONE);
        let of_the_root = [("x/src/lib.rs", "struct A;"), ("x/src/a/b.rs", "use crate::A;")];
        assert_eq!(faults(&of_the_root).len(), 1);
    }

    #[test]
    fn a_program_and_its_library_are_told_apart() {
        let files = [
            ("x/src/lib.rs", "pub mod a;"),
            ("x/src/a.rs", ""),
            ("x/src/bin/y/main.rs", "mod a;"),
            ("x/src/bin/y/a.rs", "use crate::A;"),
        ];
        assert_eq!(faults(&files), ["x/src/bin/y/a.rs:1: uses `A`, which a file above it defines"]);
    }

    #[test]
    fn layers_know_what_stands_below_them() {
        for (from, to, is_fine) in [
            ("stream/a", "message/b", true),
            ("message/b", "stream/a", false),
            ("transport/http2", "worker/drain", true),
            ("transport/http2", "worker/lanes", false),
            ("service/a", "transport/http1", false),
            ("lib", "transport/http1", true),
            ("pattern/push", "pattern/stream", false),
            ("pattern", "pattern/stream", true),
        ] {
            let [one, other] = [from, to].map(|name| format!("poll-http/src/{name}.rs"));
            let text = format!("use crate::{}::X;", to.replace('/', "::"));
            assert_eq!(faults(&[(&one, &text), (&other, "")]).is_empty(), is_fine, "{from} uses {to}");
        }
    }

    #[test]
    fn the_top_of_the_layered_crate_is_small() {
        let names: Vec<String> = (0..13).map(|n| format!("poll-http/src/m{n}.rs")).collect();
        let files: Vec<(&str, &str)> = names.iter().map(|name| (name.as_str(), "")).collect();
        assert_eq!(faults(&files).len(), 1);
        assert_eq!(faults(&files[1..]), NONE);
    }
}
