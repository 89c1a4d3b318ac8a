//! Products by threads of their own beside LibTorch's operations on one.

use std::cell::Cell;
use std::ffi::c_int;
use std::sync::OnceLock;

thread_local! {
    static PRODUCTS: Cell<Option<usize>> = const { Cell::new(None) };
}

/// How many threads a product of matrices by hand may take that the calling thread starts.
pub(crate) fn product_threads() -> usize {
    PRODUCTS.get().unwrap_or_else(super::threads)
}

/// While it lives, products that this thread starts take as many threads as LibTorch's operations did, and those take one.
///
/// LibTorch's second thread, once it has worked, spins for a while in case there is more to do, and so takes the core that
/// the product's second thread needs. Where products are nearly all the work, the operations between them are better off
/// alone. Only the calling thread's setting in OpenMP changes, not LibTorch's defaults for others.
#[derive(Debug)]
pub(crate) struct Alone {
    before: Option<(usize, Option<usize>)>,
}

impl Alone {
    pub(crate) fn new() -> Self {
        let Some(set) = openmp() else { return Self { before: None } };
        let (threads, products) = (super::threads(), PRODUCTS.get());
        PRODUCTS.set(Some(product_threads()));
        // SAFETY: OpenMP takes any number above zero, at any time outside of its own parallel regions.
        unsafe { set(1) };
        Self { before: Some((threads, products)) }
    }
}

impl Drop for Alone {
    fn drop(&mut self) {
        if let (Some((threads, products)), Some(set)) = (self.before, openmp()) {
            PRODUCTS.set(products);
            // SAFETY: as above.
            unsafe { set(c_int::try_from(threads).unwrap_or(c_int::MAX)) };
        }
    }
}

type SetThreads = unsafe extern "C" fn(c_int);

/// `omp_set_num_threads` of the OpenMP that LibTorch was loaded with, if it can be found.
fn openmp() -> Option<SetThreads> {
    static FOUND: OnceLock<Option<SetThreads>> = OnceLock::new();
    *FOUND.get_or_init(|| {
        // SAFETY: the name ends with a zero byte; a symbol that is not there is null.
        let symbol = unsafe { libc::dlsym(libc::RTLD_DEFAULT, c"omp_set_num_threads".as_ptr()) };
        // SAFETY: OpenMP's specification gives a function of this name this signature.
        (!symbol.is_null()).then(|| unsafe { std::mem::transmute::<*mut libc::c_void, SetThreads>(symbol) })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::native::{set_threads, threads};

    #[test]
    fn operations_are_alone_and_products_are_not_until_it_is_dropped() {
        let run = || {
            set_threads(3);
            {
                let _outer = Alone::new();
                assert_eq!((threads(), product_threads()), (1, 3));
                drop(Alone::new());
                assert_eq!((threads(), product_threads()), (1, 3));
                let other = std::thread::spawn(|| (threads(), product_threads())).join().unwrap();
                assert_eq!(other.0, other.1);
            }
            assert_eq!((threads(), product_threads()), (3, 3));
        };
        std::thread::spawn(run).join().unwrap();
        assert!(openmp().is_some(), "LibTorch comes with OpenMP");
    }
}
