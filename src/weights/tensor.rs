//! Where a tensor lies in a mapped file, and its values as `f32`, read one tensor at a time.

use std::ops::Range;

/// The most dimensions a tensor may have; the models here have four.
const MAX_RANK: usize = 8;

/// Element types that checkpoints hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names are the types")]
pub enum StoredDType {
    F64,
    F32,
    F16,
    Bf16,
    I64,
    I32,
    I16,
    I8,
    U8,
    Bool,
}

impl StoredDType {
    /// Bytes of one element.
    pub fn size(self) -> usize {
        match self {
            Self::F64 | Self::I64 => 8,
            Self::F32 | Self::I32 => 4,
            Self::F16 | Self::Bf16 | Self::I16 => 2,
            Self::I8 | Self::U8 | Self::Bool => 1,
        }
    }
}

/// Values of one tensor on the host, row-major.
#[derive(Clone, Debug, PartialEq)]
pub struct HostTensor {
    /// Sizes of its dimensions; empty for a scalar.
    pub shape: Vec<usize>,
    /// Its elements, the last dimension fastest.
    pub values: Vec<f32>,
}

/// A tensor inside a file's bytes: nothing is read until [`TensorView::read`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TensorView {
    dtype: StoredDType,
    shape: Vec<usize>,
    strides: Vec<usize>,
    start: usize,
}

impl TensorView {
    /// A view into the bytes `storage` of a file, `offset` elements from its beginning.
    ///
    /// # Errors
    /// Why the view cannot be: it reaches beyond its storage, or claims more elements than the storage has, which
    /// keeps what reading allocates within the size of the file.
    pub fn new(
        dtype: StoredDType,
        shape: Vec<usize>,
        strides: Vec<usize>,
        offset: usize,
        storage: Range<usize>,
    ) -> Result<Self, String> {
        if shape.len() != strides.len() || shape.len() > MAX_RANK {
            return Err(format!("has {} sizes and {} strides", shape.len(), strides.len()));
        }
        let room = storage.len() / dtype.size();
        let elements = shape.iter().try_fold(1usize, |all, &size| all.checked_mul(size));
        let reach = shape
            .iter()
            .zip(&strides)
            .try_fold(offset, |reach, (&size, &stride)| reach.checked_add(size.saturating_sub(1).checked_mul(stride)?));
        match (elements, reach) {
            (Some(0), _) => Ok(Self { dtype, shape, strides, start: storage.start }),
            (Some(n), Some(reach)) if n <= room && reach < room => {
                let start = storage.start + offset * dtype.size();
                Ok(Self { dtype, shape, strides, start })
            }
            _ => Err(format!("of shape {shape:?} does not fit its {room} stored elements")),
        }
    }

    /// A row-major view of all of `storage`.
    ///
    /// # Errors
    /// See [`TensorView::new`].
    pub fn contiguous(dtype: StoredDType, shape: Vec<usize>, storage: Range<usize>) -> Result<Self, String> {
        let strides = row_major(&shape);
        Self::new(dtype, shape, strides, 0, storage)
    }

    /// Element type in the file.
    pub fn dtype(&self) -> StoredDType {
        self.dtype
    }

    /// Sizes of its dimensions.
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// Where its storage or first element lies in the file, bytes.
    pub(super) fn start(&self) -> usize {
        self.start
    }

    /// Number of elements.
    pub fn elements(&self) -> usize {
        self.shape.iter().product()
    }

    /// Its values as `f32`, out of the bytes of the file it was made for; wider types are rounded.
    pub fn read(&self, file: &[u8]) -> HostTensor {
        let n = self.elements();
        let values = if self.strides == row_major(&self.shape) {
            let bytes = file.get(self.start..self.start + n * self.dtype.size()).unwrap_or_default();
            bytes.chunks_exact(self.dtype.size()).map(|bytes| decode(self.dtype, bytes)).collect()
        } else {
            (0..n).map(|index| self.element(file, index)).collect()
        };
        HostTensor { shape: self.shape.clone(), values }
    }

    fn element(&self, file: &[u8], index: usize) -> f32 {
        let (mut rest, mut at) = (index, 0);
        for (&size, &stride) in self.shape.iter().zip(&self.strides).rev() {
            at += rest % size * stride;
            rest /= size;
        }
        let start = self.start + at * self.dtype.size();
        file.get(start..start + self.dtype.size()).map_or(0.0, |bytes| decode(self.dtype, bytes))
    }
}

fn row_major(shape: &[usize]) -> Vec<usize> {
    let mut strides = vec![1; shape.len()];
    for i in (1..shape.len()).rev() {
        strides[i - 1] = shape[i].saturating_mul(strides[i]);
    }
    strides
}

/// One little-endian element as `f32`; `bytes` has the length of `dtype`.
fn decode(dtype: StoredDType, bytes: &[u8]) -> f32 {
    fn array<const N: usize>(bytes: &[u8]) -> [u8; N] {
        bytes.try_into().unwrap_or([0; N])
    }
    match dtype {
        StoredDType::F64 => f64::from_le_bytes(array(bytes)) as f32,
        StoredDType::F32 => f32::from_le_bytes(array(bytes)),
        StoredDType::F16 => half::f16::from_le_bytes(array(bytes)).to_f32(),
        StoredDType::Bf16 => half::bf16::from_le_bytes(array(bytes)).to_f32(),
        StoredDType::I64 => i64::from_le_bytes(array(bytes)) as f32,
        StoredDType::I32 => i32::from_le_bytes(array(bytes)) as f32,
        StoredDType::I16 => f32::from(i16::from_le_bytes(array(bytes))),
        StoredDType::I8 => f32::from(i8::from_le_bytes(array(bytes))),
        StoredDType::U8 | StoredDType::Bool => f32::from(u8::from_le_bytes(array(bytes))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(values: &[f32]) -> Vec<u8> {
        values.iter().flat_map(|v| v.to_le_bytes()).collect()
    }

    #[test]
    fn a_transposed_view_is_read_in_its_own_order() {
        let bytes = file(&[9.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
        let view = TensorView::new(StoredDType::F32, vec![3, 2], vec![1, 3], 1, 0..bytes.len()).unwrap();
        assert_eq!(view.read(&bytes).values, [1.0, 4.0, 2.0, 5.0, 3.0, 6.0]);
        let scalar = TensorView::new(StoredDType::F32, vec![], vec![], 4, 0..bytes.len()).unwrap();
        assert_eq!(scalar.read(&bytes).values, [4.0]);
    }

    #[test]
    fn half_types_widen() {
        let bytes: Vec<u8> =
            [half::f16::from_f32(1.5), half::f16::from_f32(-0.25)].iter().flat_map(|v| v.to_le_bytes()).collect();
        let view = TensorView::contiguous(StoredDType::F16, vec![2], 0..4).unwrap();
        assert_eq!(view.read(&bytes).values, [1.5, -0.25]);
        let bytes = half::bf16::from_f32(-3.0).to_le_bytes();
        assert_eq!(TensorView::contiguous(StoredDType::Bf16, vec![1], 0..2).unwrap().read(&bytes).values, [-3.0]);
    }

    #[test]
    fn inconsistent_views_are_refused() {
        let view = |shape: &[usize], strides: &[usize], offset| {
            TensorView::new(StoredDType::F32, shape.to_vec(), strides.to_vec(), offset, 0..40)
        };
        assert!(view(&[2, 5], &[5, 1], 0).is_ok());
        assert!(view(&[2, 5], &[5, 1], 1).is_err(), "reaches past the end");
        assert!(view(&[1_000_000], &[0], 0).is_err(), "one stored element, a million claimed");
        assert!(view(&[usize::MAX, 3], &[1, 1], 0).is_err() && view(&[3], &[usize::MAX], 0).is_err());
    }
}
