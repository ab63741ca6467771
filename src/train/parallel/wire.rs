//! What workers exchange, as bytes between processes.

use std::sync::Arc;

/// A value that can be sent to another process.
pub trait Wire: Send + Sync + Sized + 'static {
    /// Its bytes.
    fn encode(&self) -> Vec<u8>;

    /// The value of `bytes`.
    fn decode(bytes: &[u8]) -> Self;
}

impl Wire for () {
    fn encode(&self) -> Vec<u8> {
        Vec::new()
    }

    fn decode(_bytes: &[u8]) -> Self {}
}

impl Wire for Vec<bool> {
    fn encode(&self) -> Vec<u8> {
        self.iter().map(|value| u8::from(*value)).collect()
    }

    fn decode(bytes: &[u8]) -> Self {
        bytes.iter().map(|byte| *byte != 0).collect()
    }
}

macro_rules! numbers {
    ($($number:ty),+) => {
        $(impl Wire for Vec<$number> {
            fn encode(&self) -> Vec<u8> {
                self.iter().flat_map(|value| value.to_le_bytes()).collect()
            }

            fn decode(bytes: &[u8]) -> Self {
                let number = |bytes: &[u8]| {
                    let mut number = [0; size_of::<$number>()];
                    number.copy_from_slice(bytes);
                    <$number>::from_le_bytes(number)
                };
                bytes.chunks_exact(size_of::<$number>()).map(number).collect()
            }
        })+
    };
}

numbers!(u64, f32);

/// Several values in one message, each after its length.
pub fn pack<T: Wire>(values: &[Arc<T>]) -> Vec<u8> {
    let parcel = |value: &Arc<T>| {
        let bytes = value.encode();
        [(bytes.len() as u64).to_le_bytes().to_vec(), bytes].concat()
    };
    values.iter().flat_map(parcel).collect()
}

/// The values of [`pack`].
pub fn unpack<T: Wire>(mut bytes: &[u8]) -> Vec<T> {
    let mut values = Vec::new();
    while let Some((length, rest)) = bytes.split_first_chunk() {
        let (value, after) = rest.split_at((u64::from_le_bytes(*length) as usize).min(rest.len()));
        values.push(T::decode(value));
        bytes = after;
    }
    values
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_of_any_length_arrive_as_they_were() {
        let keys = [vec![1u64, u64::MAX], vec![], vec![7]].map(Arc::new);
        assert_eq!(unpack::<Vec<u64>>(&pack(&keys)), [vec![1, u64::MAX], vec![], vec![7]]);
        let numbers = [Arc::new(vec![f32::MIN_POSITIVE, -0.0, 1.5])];
        assert_eq!(
            unpack::<Vec<f32>>(&pack(&numbers))[0].iter().map(|x| x.to_bits()).collect::<Vec<_>>(),
            numbers[0].iter().map(|x| x.to_bits()).collect::<Vec<_>>()
        );
        assert_eq!(unpack::<Vec<bool>>(&pack(&[Arc::new(vec![true, false])])), [[true, false]]);
        assert_eq!(unpack::<()>(&pack(&[Arc::new(()), Arc::new(())])).len(), 2);
    }
}
