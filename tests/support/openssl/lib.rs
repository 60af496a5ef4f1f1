//! The five items of the crate `openssl` that `mysql_cdc` names, without OpenSSL behind them.
//!
//! `mysql_cdc` encrypts a password with a server's RSA key when it logs in over the network. The tests and benches only
//! read binlog files with it, and for that the real crate would want OpenSSL's headers, or Perl and some minutes, on every
//! machine that runs `cargo test`. Here a key is a type without values: any try to log in gets an error, and nothing
//! can go on from there without encryption. `[patch.crates-io]` in Cargo.toml puts this in; the program never has it.

pub mod error {
    use std::fmt;

    /// The one thing that this crate ever returns.
    #[derive(Debug)]
    pub struct ErrorStack(());

    impl ErrorStack {
        pub(crate) fn no_encryption() -> ErrorStack {
            ErrorStack(())
        }
    }

    impl fmt::Display for ErrorStack {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("no encryption in this build: mysql_cdc is here to read files; remove the patch of openssl to log in")
        }
    }

    impl std::error::Error for ErrorStack {}
}

pub mod rsa {
    use super::error::ErrorStack;

    pub struct Padding(());

    impl Padding {
        pub const PKCS1_OAEP: Padding = Padding(());
    }

    /// A public key; there is none.
    pub enum Rsa {}

    impl Rsa {
        /// Always an error.
        pub fn public_key_from_pem(_pem: &[u8]) -> Result<Rsa, ErrorStack> {
            Err(ErrorStack::no_encryption())
        }

        pub fn size(&self) -> u32 {
            match *self {}
        }

        pub fn public_encrypt(&self, _from: &[u8], _to: &mut [u8], _padding: Padding) -> Result<usize, ErrorStack> {
            match *self {}
        }
    }
}
