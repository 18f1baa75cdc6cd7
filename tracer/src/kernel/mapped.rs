//! Arrays of the object in this process's memory. Reading them is no system call and disturbs no program (see
//! `maps.rs` of the object).

use super::bpf;
use nix::sys::mman::{MapFlags, ProtFlags, mmap, munmap};
use std::ffi::c_void;
use std::io;
use std::marker::PhantomData;
use std::mem::MaybeUninit;
use std::num::NonZeroUsize;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU64, Ordering, fence};
use tracer_ebpf::{Cell, Handover, SweepEnd, Tracked, Uncounted};

const WORD: usize = size_of::<u64>();

/// What may lie in a mapped array.
///
/// # Safety
/// The type is `repr(C)`, made of integers without padding, of the layout shared with the object, and its size is a
/// multiple of a word: every pattern of words is a value.
pub(super) unsafe trait SharedLayout: Copy {}

// SAFETY: as the trait demands; the shared library asserts that there is no padding.
unsafe impl SharedLayout for Cell {}
// SAFETY: as above.
unsafe impl SharedLayout for SweepEnd {}
// SAFETY: as above.
unsafe impl SharedLayout for Uncounted {}
// SAFETY: as above.
unsafe impl SharedLayout for Tracked {}
// SAFETY: as above.
unsafe impl SharedLayout for Handover {}
// SAFETY: as above, one word.
unsafe impl SharedLayout for u64 {}

/// An array map in memory, or the first of its elements, as words.
pub(super) struct Words {
    array: OwnedFd,
    base: NonNull<c_void>,
    bytes: NonZeroUsize,
    /// Bytes of an element, a multiple of a word.
    stride: usize,
    elements: usize,
}

// SAFETY: the mapping belongs to the process and not to a thread.
unsafe impl Send for Words {}

impl Words {
    /// Maps the first so many elements of an array that was created with `BPF_F_MMAPABLE`. An element has so many bytes; the
    /// kernel lays them out at whole words.
    pub(super) fn new(array: BorrowedFd<'_>, element_bytes: usize, elements: u32) -> io::Result<Self> {
        let (elements, stride) = (elements as usize, element_bytes.next_multiple_of(WORD));
        let bytes = NonZeroUsize::new(elements * stride)
            .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "an array without elements"))?;
        let array = array.try_clone_to_owned()?;
        // SAFETY: a new mapping at an address of the kernel's choice touches no memory that is in use.
        let base = unsafe {
            mmap(None, bytes, ProtFlags::PROT_READ | ProtFlags::PROT_WRITE, MapFlags::MAP_SHARED, &array, 0)
        }?;
        Ok(Self { array, base, bytes, stride, elements })
    }

    /// How many elements are mapped.
    pub(super) const fn len(&self) -> usize {
        self.elements
    }

    /// The array itself.
    pub(super) fn array(&self) -> BorrowedFd<'_> {
        self.array.as_fd()
    }

    /// A new array of what is mapped, whose elements have so many bytes.
    pub(super) fn copied(&self, element_bytes: usize) -> io::Result<Self> {
        let bytes = u32::try_from(element_bytes).map_err(io::Error::other)?;
        let elements = u32::try_from(self.elements).map_err(io::Error::other)?;
        let array = bpf::create_array(bytes, elements)?;
        let mut copy = Self::new(array.as_fd(), element_bytes, elements)?;
        (0..self.elements).for_each(|index| copy.set(index, &self.get(index)));
        Ok(copy)
    }

    /// Maps the first so many elements in place of those that are mapped; on an error these stay.
    pub(super) fn remap(&mut self, elements: u32) -> io::Result<()> {
        *self = Self::new(self.array.as_fd(), self.stride, elements)?;
        Ok(())
    }

    /// A copy of an element. Each word is read at once; programs may write between two words.
    ///
    /// # Panics
    /// When there is no such element.
    pub(super) fn get(&self, index: usize) -> Vec<u64> {
        (0..self.stride / WORD).map(|word| self.at(index, word * WORD).load(Ordering::Relaxed)).collect()
    }

    /// Writes an element, word by word. No program may be writing to it.
    ///
    /// # Panics
    /// When there is no such element, or it has another length.
    pub(super) fn set(&mut self, index: usize, words: &[u64]) {
        assert_eq!(words.len() * WORD, self.stride);
        for (word, value) in words.iter().enumerate() {
            self.at(index, word * WORD).store(*value, Ordering::Relaxed);
        }
    }

    fn at(&self, index: usize, offset: usize) -> &AtomicU64 {
        assert!(index < self.elements && offset + WORD <= self.stride && offset.is_multiple_of(WORD));
        // SAFETY: within the mapping, which begins at a page and so is aligned, and which lives as long as `self`;
        // nobody writes it but by whole words or, in the kernel, by parts of one.
        unsafe {
            let word = self.base.as_ptr().cast::<u8>().add(index * self.stride + offset).cast::<u64>();
            AtomicU64::from_ptr(word)
        }
    }
}

impl Drop for Words {
    fn drop(&mut self) {
        // SAFETY: mapped by `new` with this length; no reference into it is ever given out.
        let _ = unsafe { munmap(self.base, self.bytes.get()) };
    }
}

/// An array map in memory, or the first of its elements.
pub(super) struct Mapped<T> {
    words: Words,
    of: PhantomData<fn() -> T>,
}

impl<T: SharedLayout> Mapped<T> {
    /// Maps the first so many elements of an array that was created with `BPF_F_MMAPABLE`.
    pub(super) fn new(array: BorrowedFd<'_>, elements: u32) -> io::Result<Self> {
        const { assert!(size_of::<T>().is_multiple_of(WORD) && size_of::<T>() > 0) };
        Ok(Self { words: Words::new(array, size_of::<T>(), elements)?, of: PhantomData })
    }

    /// How many elements are mapped.
    pub(super) const fn len(&self) -> usize {
        self.words.len()
    }

    /// The first so many elements, mapped once more.
    #[cfg(any(test, fuzzing))]
    pub(super) fn first(&self, elements: u32) -> io::Result<Self> {
        Self::new(self.words.array.as_fd(), elements)
    }

    /// Maps the first so many elements in place of those that are mapped; on an error these stay.
    pub(super) fn remap(&mut self, elements: u32) -> io::Result<()> {
        self.words.remap(elements)
    }

    /// A copy of an element. Each word is read at once; programs may write between two words.
    ///
    /// # Panics
    /// When there is no such element.
    pub(super) fn get(&self, index: usize) -> T {
        value_of(|word| self.word(index, word * WORD))
    }

    /// The word at a byte offset of an element.
    ///
    /// # Panics
    /// When there is no such element or word.
    pub(super) fn word(&self, index: usize, offset: usize) -> u64 {
        self.words.at(index, offset).load(Ordering::Relaxed)
    }

    /// Writes an element, word by word. No program may be writing to it.
    ///
    /// # Panics
    /// When there is no such element.
    pub(super) fn set(&mut self, index: usize, value: &T) {
        self.set_but(index, value, None);
    }

    /// The same, the word at a byte offset last: as long as that is as it was, the rest may be.
    ///
    /// # Panics
    /// When there is no such element or word.
    pub(super) fn set_with_last(&mut self, index: usize, value: &T, last: usize) {
        self.set_but(index, value, Some(last));
        self.set_word(index, last, Self::word_of(value, last / WORD));
    }

    /// Writes a word after everything that was written before, and before everything that is written after.
    ///
    /// # Panics
    /// When there is no such element or word.
    pub(super) fn set_word(&mut self, index: usize, offset: usize, word: u64) {
        fence(Ordering::SeqCst);
        self.words.at(index, offset).store(word, Ordering::SeqCst);
        fence(Ordering::SeqCst);
    }

    fn set_but(&mut self, index: usize, value: &T, left_out: Option<usize>) {
        for word in (0..size_of::<T>() / WORD).filter(|word| Some(word * WORD) != left_out) {
            self.words.at(index, word * WORD).store(Self::word_of(value, word), Ordering::Relaxed);
        }
    }

    fn word_of(value: &T, word: usize) -> u64 {
        assert!(word < size_of::<T>() / WORD);
        // SAFETY: `word` is within the value, whose words may be unaligned to nothing less than a word.
        unsafe { (&raw const *value).cast::<u64>().add(word).read_unaligned() }
    }
}

/// The value that has these words.
pub(super) fn value_of<T: SharedLayout>(word: impl Fn(usize) -> u64) -> T {
    const { assert!(size_of::<T>().is_multiple_of(WORD)) };
    let mut value = MaybeUninit::<T>::uninit();
    let words = value.as_mut_ptr().cast::<u64>();
    for index in 0..size_of::<T>() / WORD {
        // SAFETY: `index` is within the value, whose words may be unaligned to nothing less than a word.
        unsafe { words.add(index).write_unaligned(word(index)) };
    }
    // SAFETY: every word was written, and every pattern of words is a value (SharedLayout).
    unsafe { value.assume_init() }
}
