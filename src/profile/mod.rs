//! Edges, FLOPs and memory, counted.
