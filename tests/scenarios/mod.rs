//! What is tried, one file per kind of thing that connects.

mod harness;
