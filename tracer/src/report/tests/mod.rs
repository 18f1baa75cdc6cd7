//! Reports of recordings and of made-up material.

mod incident;
mod made;
