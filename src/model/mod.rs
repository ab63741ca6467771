//! The three encoders and their heads.

pub mod init;
pub mod layers;
