//! Feeds `rowhook::fuzzing::row_image`, which says what the bytes mean.

#![no_main]

use libfuzzer_sys::fuzz_target;
use rowhook::fuzzing;

fuzz_target!(|bytes: &[u8]| {
    fuzzing::row_image(bytes);
});
