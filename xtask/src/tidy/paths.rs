//! The project names no paths of a particular machine.

use super::fault::Fault;
use super::sources::is_test;

/// Folders that exist on one machine only, written in two halves so that this table does not strike itself.
const MACHINE: &[&str] =
    &[concat!("/wo", "rk/"), concat!("/ro", "ot/"), concat!("/ho", "me/"), concat!("/Us", "ers/")];
/// A folder that tests may name.
const SCRATCH: &str = concat!("/t", "mp/");

/// Faults of one text file.
pub(super) fn check(path: &str, text: &str) -> Vec<Fault> {
    if path == "Cargo.lock" {
        return Vec::new();
    }
    let scratch = (!is_test(path)).then_some(&SCRATCH);
    let banned: Vec<&str> = MACHINE.iter().chain(scratch).copied().collect();
    let mut faults = Vec::new();
    for (index, line) in text.lines().enumerate() {
        for folder in banned.iter().filter(|folder| is_absolute(line, folder)) {
            faults.push(Fault::new(path, index + 1, format!("`{folder}` is a path of one machine")));
        }
    }
    faults
}

/// Whether the folder begins a path there, rather than going on from one or from an address.
fn is_absolute(line: &str, folder: &str) -> bool {
    line.match_indices(folder).any(|(at, _)| {
        !line[..at]
            .chars()
            .next_back()
            .is_some_and(|c| c.is_alphanumeric() || matches!(c, '.' | '-' | '_' | '}'))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_path_is_found_and_an_address_is_not() {
        let here = format!("see {}main/x\n", MACHINE[0]);
        assert_eq!(check("README.md", &here).len(), 1);
        let address = format!("see https://example.org{}x\n", MACHINE[2]);
        assert_eq!(check("README.md", &address), []);
    }

    #[test]
    fn tests_may_name_the_scratch_folder() {
        let text = format!("let a = \"{SCRATCH}x\";\n");
        assert_eq!(check("poll-server/tests/it/a.rs", &text), []);
        assert_eq!(check("poll-server/src/a.rs", &text).len(), 1);
    }
}
