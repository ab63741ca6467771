//! `svitt data tokenize`: lines of text in, JSON lines out and nothing else.

use crate::Result;
use crate::limits::{self, count};
use crate::text::{Tokenizer, tokenize_lines};
use std::io::{self, BufWriter};
use std::path::PathBuf;

/// Clean and encode lines from standard input, one JSON object per line
#[derive(clap::Args)]
pub struct Args {
    /// vocab.txt, tokenizer.json, or the folder that holds one
    #[arg(long, value_name = "F")]
    vocab: PathBuf,
    /// Tokens a text is cut to, `[CLS]` included
    #[arg(long, value_name = "N", value_parser = count(1, limits::TOKENS))]
    max_length: usize,
}

/// Runs the command.
pub fn run(args: Args) -> Result<()> {
    let tokenizer = Tokenizer::read(&args.vocab)?;
    tokenize_lines(&tokenizer, args.max_length, io::stdin().lock(), BufWriter::new(io::stdout().lock()))?;
    Ok(())
}
