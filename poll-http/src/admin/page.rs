//! How long a page of a list is.

use std::borrow::Cow;

use crate::message::query::number;
use crate::message::refusal::Refusal;

/// Entries of a page without `limit`, and the most with it.
const LISTED: usize = 100;
const MOST_LISTED: usize = 1_000;

/// Parses `limit`. A higher one counts as the highest.
///
/// # Errors
/// 400 if it is not a whole number from 1 on.
pub(crate) fn limit(text: Option<Cow<'_, str>>) -> Result<usize, Refusal> {
    let Some(text) = text else { return Ok(LISTED) };
    match number(&text).map(usize::try_from) {
        None | Some(Ok(0)) => Err(Refusal::bad_request("parameter `limit` must be a whole number from 1 on")),
        Some(limit) => Ok(limit.map_or(MOST_LISTED, |limit| limit.min(MOST_LISTED))),
    }
}
