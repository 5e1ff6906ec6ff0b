//! Tests of the script on a real Redis.
