//! Where one mp4 file ends and the next begins in a joined file.

use std::fs::File;

use super::mp4_boxes::{TopLevel, children, content, descend};
use super::mp4_table::chunk_offsets;

/// Boxes `moov` without `ftyp` that are looked at.
const MOST_STRAYS: usize = 100;

/// The boxes of one of the files that make up a joined file.
pub(super) struct OneFile<'a> {
    /// Its first byte, from which its own positions count.
    pub origin: u64,
    /// The first byte after it.
    pub end: u64,
    pub moov: &'a TopLevel,
    pub moofs: Vec<&'a TopLevel>,
}

/// The files, and whether samples of another one may be there whose beginning is not known.
#[derive(Default)]
pub(super) struct Files<'a> {
    pub list: Vec<OneFile<'a>>,
    pub more: bool,
}

/// A file begins with `ftyp` and has one `moov`. Old QuickTime files have no `ftyp`: there a further `moov` is that of
/// another file if its positions say so; else it is a stray copy.
pub(super) fn files<'a>(file: &mut File, boxes: &'a [TopLevel], length: u64) -> Files<'a> {
    let mut files = Files::default();
    let mut start = None;
    // What came since the last `ftyp`, and the beginning of the first file that has a `moov`.
    let mut strays = 0;
    let (mut has_moov, mut has_samples, mut first) = (false, false, 0);
    for (place, found) in boxes.iter().enumerate() {
        match &found.kind {
            b"ftyp" => {
                start = Some(found.start);
                let lost = has_samples && !has_moov;
                files.more |= lost;
                if lost && files.list.is_empty() {
                    first = found.start;
                }
                (has_moov, has_samples) = (false, false);
            }
            b"mdat" => has_samples = true,
            b"moov" => {
                has_moov = true;
                let origin = match (start.take(), files.list.last()) {
                    (_, None) => Some(first),
                    (Some(start), _) => Some(start),
                    (None, Some(_)) if strays >= MOST_STRAYS => None,
                    (None, Some(last)) => {
                        strays += 1;
                        let origin = without_ftyp(file, boxes, place, last.moov, length);
                        files.more |= origin.is_none() && has_own_samples(boxes, place);
                        origin
                    }
                };
                if let (Some(origin), Some(last)) = (origin, files.list.last_mut()) {
                    last.end = origin;
                }
                files.list.extend(origin.map(|origin| OneFile { origin, end: length, moov: found, moofs: Vec::new() }));
            }
            b"moof" => files.list.iter_mut().next_back().into_iter().for_each(|one| one.moofs.push(found)),
            _ => {}
        }
    }
    files
}

/// The first byte of the file that the `moov` at `place` belongs to, if that is another file than the one before: its
/// first sample then is the first of an `mdat`, counted from there. A `moov` that fragments follow begins a file unless
/// it says again what `before` says.
fn without_ftyp(file: &mut File, boxes: &[TopLevel], place: usize, before: &TopLevel, length: u64) -> Option<u64> {
    let moov = &boxes[place];
    let data = content(file, moov, length).ok()?;
    if boxes.get(place + 1).is_some_and(|next| next.kind == *b"moof") {
        return (content(file, before, length).ok()? != data).then_some(moov.start);
    }
    let traks = children(&data).filter(|(kind, _)| kind == b"trak");
    let tables = traks.filter_map(|(_, trak)| descend(trak, &[b"mdia", b"minf", b"stbl"]));
    let first = tables.filter_map(chunk_offsets).flatten().min()?;
    let near = boxes.iter().skip_while(|one| one.start < before.end);
    let near = near.take_while(|one| one.start <= moov.start || !matches!(&one.kind, b"moov" | b"ftyp"));
    let ends: Vec<u64> = near.clone().map(|one| one.end).chain([before.end]).collect();
    // A box `wide` of eight bytes usually stands before `mdat`.
    let begins = |origin: u64, mdat: &TopLevel| {
        origin <= moov.start && (ends.contains(&origin) || [0, 8].iter().any(|wide| origin + wide == mdat.start))
    };
    let mut mdats = near.filter(|one| one.kind == *b"mdat");
    mdats.find_map(|mdat| mdat.content.checked_sub(first).filter(|&o| o >= before.end && begins(o, mdat)))
}

/// Whether samples follow the `moov` at `place`, or lie between it and the one before although that had its own.
fn has_own_samples(boxes: &[TopLevel], place: usize) -> bool {
    let is_mdat = |one: &TopLevel| one.kind == *b"mdat";
    let until_moov = |boxes: &[TopLevel]| boxes.iter().take_while(|one| one.kind != *b"moov").any(is_mdat);
    let between = boxes[..place].iter().rev().take_while(|one| one.kind != *b"moov").any(is_mdat);
    let earlier = boxes[..place].iter().rev().skip_while(|one| one.kind != *b"moov").skip(1);
    let earlier = { earlier }.take_while(|one| one.kind != *b"moov").any(is_mdat);
    until_moov(&boxes[place + 1..]) || (between && earlier)
}

#[cfg(test)]
mod tests {
    use super::super::mp4_boxes::top_level;
    use super::*;
    use std::io::Write;

    fn boxed(kind: &[u8; 4], content: &[u8]) -> Vec<u8> {
        [&(8 + content.len() as u32).to_be_bytes()[..], kind, content].concat()
    }

    /// A table of one chunk at this position.
    fn moov(position: u32) -> Vec<u8> {
        let stco = boxed(b"stco", &[[0; 4], [0, 0, 0, 1], position.to_be_bytes()].concat());
        [b"stbl", b"minf", b"mdia", b"trak", b"moov"].iter().fold(stco, |inner, kind| boxed(kind, &inner))
    }

    fn origins(parts: &[Vec<u8>]) -> (Vec<u64>, bool) {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(&parts.concat()).unwrap();
        let length = parts.concat().len() as u64;
        let boxes = top_level(&file, length).unwrap();
        let files = files(&mut file, &boxes, length);
        (files.list.iter().map(|one| one.origin).collect(), files.more)
    }

    #[test]
    fn files_without_ftyp_begin_where_their_positions_count_from() {
        let (wide, mdat, ftyp) = (boxed(b"wide", &[]), boxed(b"mdat", &[7; 50]), boxed(b"ftyp", &[0; 12]));
        let size = moov(0).len() as u64;
        let last = [wide.clone(), mdat.clone(), moov(16)].concat();
        let first = [moov(size as u32 + 8), mdat.clone()].concat();
        let begin = last.len() as u64;
        assert_eq!(origins(&[last.clone(), last.clone(), last.clone()]), (vec![0, begin, 2 * begin], false));
        assert_eq!(origins(&[first.clone(), first.clone()]), (vec![0, size + 58], false));
        assert_eq!(origins(&[last.clone(), first.clone()]), (vec![0, begin], false));
        assert_eq!(origins(&[first.clone(), last.clone()]), (vec![0, size + 58], false));
        assert_eq!(origins(&[ftyp.clone(), last.clone(), ftyp.clone(), last.clone()]).0, [0, begin + 20]);
        // Stray copies, and a second table whose samples lie nobody knows where.
        let whole = [ftyp, moov(size as u32 + 28), mdat.clone()].concat();
        assert_eq!(origins(&[whole.clone(), moov(size as u32 + 28)]), (vec![0], false));
        assert_eq!(origins(&[wide, mdat.clone(), moov(16), moov(16)]), (vec![0], false));
        assert_eq!(origins(&[whole, moov(size as u32 + 31), mdat]), (vec![0], true));
        let fragment = [boxed(b"moof", &[1; 9]), boxed(b"mdat", &[7; 50])].concat();
        let stream = |position| [moov(position), fragment.clone()].concat();
        assert_eq!(origins(&[stream(0), stream(0), stream(1)]), (vec![0, 2 * (size + 75)], false));
    }
}
