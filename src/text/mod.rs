//! Captions become token ids: cleaning and WordPiece.
