//! Embeddings as a safetensors or NumPy file.

use crate::weights::safetensors::{self, TensorContent, TensorSpec};
use crate::{Error, Result, files};
use std::collections::BTreeMap;
use std::path::Path;

/// The format of the embeddings, by the ending of the file's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum EmbeddingFormat {
    /// One tensor, named after what it holds.
    Safetensors,
    /// NumPy's `.npy`, version 1.0.
    Npy,
}

impl EmbeddingFormat {
    /// The format of `out`.
    ///
    /// # Errors
    /// Another ending.
    pub fn of(out: &Path) -> Result<Self> {
        match out.extension().and_then(|extension| extension.to_str()) {
            Some("safetensors") => Ok(Self::Safetensors),
            Some("npy") => Ok(Self::Npy),
            _ => {
                let problem = format!("`{}` ends in neither", out.display());
                Err(Error::setting("out", problem, "name a file that ends in .safetensors or .npy"))
            }
        }
    }

    /// Writes `rows` of `dim` numbers to `out` as the matrix `[rows, dim]` called `name`.
    ///
    /// # Errors
    /// The disk refuses; nothing is left then.
    pub fn write(self, out: &Path, name: &str, rows: &[&[f32]], dim: usize) -> Result<()> {
        let shape = [rows.len(), dim];
        if self == Self::Safetensors {
            let spec = TensorSpec { name: name.into(), shape: shape.to_vec(), kind: TensorContent::Learned };
            return safetensors::write(out, &[spec], &BTreeMap::new(), |_| Ok(rows.concat()));
        }
        files::write_with(out, |file| {
            let written = file.write_all(&npy_header(shape)).and_then(|()| {
                rows.iter().flat_map(|row| row.iter()).try_for_each(|value| file.write_all(&value.to_le_bytes()))
            });
            written.map_err(|e| Error::io(out, &e))
        })
    }
}

/// Magic, version, length and text of the header, a multiple of 64 bytes long and ended by a new line
/// (numpy.lib.format, version 1.0).
pub(super) fn npy_header([rows, columns]: [usize; 2]) -> Vec<u8> {
    const FIXED: usize = 10;
    let mut text = format!("{{'descr': '<f4', 'fortran_order': False, 'shape': ({rows}, {columns}), }}").into_bytes();
    text.resize((FIXED + text.len() + 1).next_multiple_of(64) - FIXED - 1, b' ');
    text.push(b'\n');
    [&b"\x93NUMPY\x01\x00"[..], &(text.len() as u16).to_le_bytes(), &text].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_formats_hold_the_rows_in_order() {
        let dir = tempfile::tempdir().unwrap();
        let rows: [&[f32]; 2] = [&[1.0, -0.5, 0.25], &[0.0, 2.0, 3.0]];
        let path = dir.path().join("f.safetensors");
        EmbeddingFormat::of(&path).unwrap().write(&path, "video", &rows, 3).unwrap();
        let bytes = std::fs::read(&path).unwrap();
        let tensors = safetensors::read(&bytes).unwrap().tensors;
        let (name, view) = &tensors[0];
        assert_eq!((name.as_str(), view.shape(), view.read(&bytes).values), ("video", &[2, 3][..], rows.concat()));
        let path = dir.path().join("f.npy");
        EmbeddingFormat::of(&path).unwrap().write(&path, "video", &rows, 3).unwrap();
        let bytes = std::fs::read(&path).unwrap();
        assert_eq!((bytes.len(), &bytes[..8], bytes[127]), (128 + 24, &b"\x93NUMPY\x01\x00"[..], b'\n'));
        assert_eq!(u16::from_le_bytes([bytes[8], bytes[9]]), 118);
        assert!(String::from_utf8_lossy(&bytes[10..128]).contains("'shape': (2, 3), }"));
        assert_eq!(bytes[128 + 4..128 + 8], (-0.5f32).to_le_bytes());
        assert!(EmbeddingFormat::of(Path::new("f.bin")).unwrap_err().to_string().contains(".npy"));
    }
}
