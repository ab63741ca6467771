//! Where what was found goes: standard output in some format, a page, a report, and the index, for `clip`.

use crate::cli::output::{JsonArg, check_folder, print, print_for_programs};
use crate::search::{
    Fit, KEPT_RESULTS, KeptResult, ListFormat, QueryResult, SearchResult, WordResult, keep_results, results_page,
};
use crate::{Error, Result};
use clap::ValueEnum;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

/// What results are written to standard output as.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum OutputFormat {
    /// A line each: rank, score, file and seconds, separated by tabs; of words with what is said
    #[default]
    Table,
    /// The report of `--json`
    Json,
    /// Comma-separated values
    Csv,
    /// A playlist (UTF-8, .m3u8) whose entries begin and end with the clips
    M3u,
    /// An edit decision list (CMX 3600, non-drop-frame timecodes)
    Edl,
}

impl OutputFormat {
    fn list(self) -> Option<ListFormat> {
        match self {
            Self::Table | Self::Json => None,
            Self::Csv => Some(ListFormat::Csv),
            Self::M3u => Some(ListFormat::M3u),
            Self::Edl => Some(ListFormat::Edl),
        }
    }
}

/// Where results go.
#[derive(clap::Args)]
pub struct Output {
    /// What results are written to standard output as
    #[arg(long, value_enum, default_value_t)]
    pub format: OutputFormat,
    /// Write a page with pictures
    #[arg(long, value_name = "FILE")]
    pub html: Option<PathBuf>,
    #[command(flatten)]
    json: JsonArg,
}

/// What was asked, and what was found.
pub struct Answer<'a> {
    /// The index directory.
    pub index: &'a Path,
    /// What results and warnings there are.
    pub found: &'a QueryResult,
    /// The text that was asked for; none for a video.
    pub query: Option<&'a str>,
    /// The question for people.
    pub title: &'a str,
    /// Clips of the whole index.
    pub clips: usize,
    /// Whether the nearest are listed also where none fits.
    pub nearest: bool,
}

impl Output {
    /// Checks that the parts of results that `--narrow` finds have a place.
    ///
    /// # Errors
    /// A format of clips alone.
    pub fn check_narrow(&self, narrow: bool) -> Result<()> {
        if narrow && self.format.list().is_some() {
            let problem = "the best part of a clip is shown in tables and JSON alone";
            return Err(Error::setting("narrow", problem, "leave it out, or take option `format` table or json"));
        }
        Ok(())
    }

    /// Refuses files that cannot be written before the work.
    pub fn check(&self) -> Result<()> {
        self.html.iter().try_for_each(|path| check_folder(path))?;
        self.json.check()
    }

    /// Shows `answer`; where nothing fits by a measured threshold, only if the nearest are wanted.
    pub fn show(&self, answer: &Answer<'_>) -> Result<()> {
        let QueryResult { results, words, warnings, fit } = answer.found;
        warnings.iter().for_each(|warning| log::warn!("{warning}"));
        let unfit = fit.filter(|fit| !fit.fits && !results.is_empty());
        if let Some(Fit { evidence, threshold, .. }) = unfit {
            let evidence = evidence
                .map_or_else(String::new, |evidence| format!(" (the nearest has {evidence:.1} of {threshold:.1})"));
            log::warn!("nothing in here fits{evidence}");
        }
        // The usual threshold is a guess for any model but those it was measured on: it says so and hides nothing.
        let hidden = !answer.nearest && unfit.is_some_and(|fit| fit.calibrated);
        if hidden {
            log::info!("--nearest lists what comes closest");
        }
        self.list(answer, hidden)?;
        if let Some(path) = &self.html {
            results_page(answer.title, &format!("The best of {} clips.", answer.clips), results, words)?.write(path)?;
        }
        self.json.write(&answer.report())
    }

    /// Keeps what is listed, and writes it to standard output: no clips where they are `hidden`.
    fn list(&self, answer: &Answer<'_>, hidden: bool) -> Result<()> {
        let (listed, words) = (if hidden { &[] } else { &answer.found.results[..] }, &answer.found.words);
        answer.keep(listed);
        match self.format.list() {
            Some(format) => {
                let list = format.list(answer.title, listed, words)?;
                list.warnings.iter().for_each(|warning| log::warn!("{warning}"));
                print_for_programs(&list.text)?;
            }
            None if self.format == OutputFormat::Json => {
                let report = serde_json::to_string_pretty(&answer.report());
                print_for_programs(&(report.map_err(|problem| Error::Fault(problem.to_string()))? + "\n"))?;
            }
            None => {
                let lines = listed.iter().map(SearchResult::line).chain(words.iter().map(WordResult::line));
                lines.into_iter().try_for_each(|line| print(&(line + "\n")))?;
            }
        }
        Ok(())
    }
}

impl Answer<'_> {
    /// Keeps the `listed` clips and the words for `search clip`.
    fn keep(&self, listed: &[SearchResult]) {
        let clips = listed.iter().map(|clip| KeptResult::new(clip.rank, &clip.path, [clip.start, clip.end]));
        let words = self.found.words.iter();
        let said = words.map(|said| KeptResult::new(said.label(), &said.path, [said.start, said.end]));
        let (query, kept) = (self.query.unwrap_or(self.title), clips.chain(said).collect());
        if let Err(problem) = keep_results(self.index, query, kept) {
            match self.index.join(KEPT_RESULTS).exists() {
                true => log::warn!("`search clip` still knows the results of an older search only: {problem}"),
                false => log::info!("`search clip` will not know these results: {problem}"),
            }
        }
    }

    fn report(&self) -> Value {
        let QueryResult { results, words, warnings, fit } = self.found;
        let mut report = json!({"query": self.query, "clips": self.clips, "results": results, "warnings": warnings});
        if !words.is_empty() {
            report["words"] = json!(words);
        }
        if self.query.is_some() {
            // Of a picture or video nothing is known to judge by.
            let unknown = if results.is_empty() { json!(false) } else { json!(null) };
            report["fits"] = fit.map_or(unknown, |fit| json!(fit.fits));
            report["threshold"] = json!(fit.map(|fit| fit.threshold));
            report["evidence"] = json!(fit.and_then(|fit| fit.evidence));
            report["calibrated"] = json!(fit.is_some_and(|fit| fit.calibrated));
        }
        report
    }
}
