//! The name of a set of weights: SHA-256 over official keys, shapes and values.

use super::source::WeightSource;
use sha2::{Digest, Sha256};

/// SHA-256, hexadecimal, over all learned tensors of `source` by official key: name, shape, little-endian `f32` values.
/// The same weights have the same hash in every file format.
pub fn weights_hash(source: &WeightSource) -> String {
    let mut hash = WeightsHasher::default();
    for name in source.names() {
        if let Some(tensor) = source.read(name) {
            hash.add(name, &tensor.shape, &tensor.values);
        }
    }
    hash.finish()
}

/// Hashes weights tensor by tensor; official keys must come in ascending order.
#[derive(Default)]
pub struct WeightsHasher(Sha256);

impl WeightsHasher {
    /// Adds the tensor with official key `name`.
    pub fn add(&mut self, name: &str, shape: &[usize], values: &[f32]) {
        self.0.update(format!("{name}{shape:?}"));
        let mut bytes = Vec::with_capacity(4 * values.len().min(1 << 16));
        for chunk in values.chunks(1 << 16) {
            bytes.clear();
            bytes.extend(chunk.iter().flat_map(|value| value.to_le_bytes()));
            self.0.update(&bytes);
        }
    }

    /// The hash, hexadecimal.
    pub fn finish(self) -> String {
        crate::digest::whole(self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_format_does_not_matter_and_every_value_does() {
        let fixture = |name: &str| format!("{}/tests/fixtures/parity/{name}", env!("CARGO_MANIFEST_DIR"));
        let hash = |name: &str| weights_hash(&WeightSource::open(fixture(name)).unwrap());
        assert_eq!(hash("checkpoint_micro_full.pth"), hash("checkpoint_micro_model.safetensors"));
        let one = |value: f32| {
            let mut hash = WeightsHasher::default();
            hash.add("a", &[2], &[1.0, value]);
            hash.finish()
        };
        assert_eq!(one(0.0).len(), 64);
        assert_ne!(one(0.0), one(-0.0));
    }
}
