//! Numbers as people read them in a line of the log.

/// `1 channel`, `2 channels`.
pub(crate) fn counted(number: u64, what: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{number} {what}{plural}")
}

/// A number of bytes, with a binary unit (IEC 80000-13) where it divides evenly.
pub(crate) fn bytes(number: u64) -> String {
    for (shift, unit) in [(30, "GiB"), (20, "MiB"), (10, "KiB")] {
        if number >= 1 << shift && number.trailing_zeros() >= shift {
            return format!("{} {unit}", number >> shift);
        }
    }
    counted(number, "byte")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_said_as_people_say_them() {
        assert_eq!((counted(0, "channel"), counted(1, "channel")), ("0 channels".into(), "1 channel".into()));
        let said = [0, 1, 1_000, 1_024, 1 << 20, 3 << 30, (1 << 30) + 1].map(bytes);
        assert_eq!(said, ["0 bytes", "1 byte", "1000 bytes", "1 KiB", "1 MiB", "3 GiB", "1073741825 bytes"]);
    }
}
