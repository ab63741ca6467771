//! The benchmarks that need order, end to end, on generated videos in the layout of each one's media folder: a hall
//! that goes from dark to bright or the other way, and texts that say which. What a scorer that knows order gets, and
//! one that does not, is known beforehand.

mod benchmarks;
mod commands;
mod scorers;
mod worlds;
