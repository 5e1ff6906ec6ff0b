//! Reads one setting from an HTTP/2 peer's first frame: whether it accepts pushes.
//!
//! A response has to announce whether messages will be pushed before the first one is, and h2 reports it only when a push is
//! tried. The frame follows the preface directly (RFC 9113, section 3.4), so it is inspected on its way to h2. Judging it is
//! left to h2.

use crate::message::connection_info::PushPolicy;

/// Length, type, flags and stream (RFC 9113, section 4.1).
const HEAD: usize = 9;
/// Identifier and value (section 6.5.1).
const ENTRY: usize = 6;
const SETTINGS: u8 = 4;
const ENABLE_PUSH: u16 = 2;

/// How far the frame was read.
#[derive(Debug, Default)]
pub(super) struct SettingsFrame {
    /// The frame's head, or the entry that is being read.
    part: [u8; HEAD],
    filled: u8,
    /// Bytes of entries to come; `None` while the head is read.
    left: Option<u32>,
    /// The last value (section 6.5.3: in order), on by default.
    off: bool,
}

impl SettingsFrame {
    /// Parses the next bytes; returns the result once the frame is complete. Not to be called after that.
    pub(super) fn read(&mut self, bytes: &[u8]) -> Option<PushPolicy> {
        for &byte in bytes {
            let filled = usize::from(self.filled);
            self.part[filled] = byte;
            self.filled += 1;
            match &mut self.left {
                None if filled + 1 == HEAD => {
                    let [a, b, c, kind, ..] = self.part;
                    // Another frame than it has to be: h2 will close the connection.
                    let length = if kind == SETTINGS { u32::from_be_bytes([0, a, b, c]) } else { 0 };
                    self.left = Some(length);
                    self.filled = 0;
                }
                None => {}
                Some(left) => {
                    *left -= 1;
                    if filled + 1 == ENTRY {
                        let [id_high, id_low, value @ .., _, _, _] = self.part;
                        if u16::from_be_bytes([id_high, id_low]) == ENABLE_PUSH {
                            self.off = u32::from_be_bytes(value) == 0;
                        }
                        self.filled = 0;
                    }
                }
            }
            if self.left == Some(0) {
                return Some(if self.off { PushPolicy::Off } else { PushPolicy::Possible });
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(entries: &[(u16, u32)]) -> Vec<u8> {
        let length = u32::try_from(entries.len() * ENTRY).unwrap();
        let mut frame = length.to_be_bytes()[1..].to_vec();
        frame.extend([SETTINGS, 0, 0, 0, 0, 0]);
        for (id, value) in entries {
            frame.extend(id.to_be_bytes());
            frame.extend(value.to_be_bytes());
        }
        frame
    }

    #[test]
    fn push_is_possible_unless_the_settings_say_no() {
        for (entries, policy) in [
            (&[][..], PushPolicy::Possible),
            (&[(3, 100), (4, 0)], PushPolicy::Possible),
            (&[(2, 1)], PushPolicy::Possible),
            (&[(2, 0)], PushPolicy::Off),
            (&[(1, 2), (2, 0), (5, 16_384)], PushPolicy::Off),
            (&[(2, 0), (2, 1)], PushPolicy::Possible),
        ] {
            assert_eq!(SettingsFrame::default().read(&frame(entries)), Some(policy), "{entries:?}");
        }
    }

    #[test]
    fn any_split_gives_the_same() {
        let bytes = frame(&[(3, 100), (2, 0), (4, 65_535)]);
        for split in 0..bytes.len() {
            let mut reader = SettingsFrame::default();
            assert_eq!(reader.read(&bytes[..split]), None);
            assert_eq!(reader.read(&bytes[split..]), Some(PushPolicy::Off));
        }
    }

    #[test]
    fn what_follows_the_frame_is_not_looked_at() {
        let mut bytes = frame(&[(3, 100)]);
        bytes.extend(frame(&[(2, 0)]));
        assert_eq!(SettingsFrame::default().read(&bytes), Some(PushPolicy::Possible));
    }

    #[test]
    fn a_frame_of_another_kind_or_a_bad_length_does_no_harm() {
        assert_eq!(SettingsFrame::default().read(b"GET / HTTP/1.1\r\n"), Some(PushPolicy::Possible));
        let mut bytes = frame(&[(2, 0)]);
        bytes[2] = 7;
        bytes.push(0);
        assert_eq!(SettingsFrame::default().read(&bytes), Some(PushPolicy::Off));
    }
}
