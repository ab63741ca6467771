//! Embeddings on disk, searched; vectors only.
