//! Feeds `rowhook::fuzzing::answer_headers`, which says what the bytes mean.

#![no_main]

use libfuzzer_sys::fuzz_target;
use rowhook::fuzzing;

fuzz_target!(|bytes: &[u8]| {
    fuzzing::answer_headers(bytes);
});
