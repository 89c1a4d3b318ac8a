//! LibTorch's CUDA graphs, through the layer that `graph.cpp` is.

use std::ffi::{CStr, c_char, c_int, c_void};
use std::ptr::null_mut;
use std::sync::{Mutex, OnceLock, PoisonError};

use tch::Tensor;

use super::Recorder;
use crate::native::cuda_half;

/// The layer's functions. Each gives null, or what went wrong.
pub(super) struct Layer {
    enter: unsafe extern "C" fn(c_int) -> *const c_char,
    leave: unsafe extern "C" fn() -> *const c_char,
    begin: unsafe extern "C" fn(*mut *mut c_void) -> *const c_char,
    end: unsafe extern "C" fn(*mut c_void) -> *const c_char,
    refill: unsafe extern "C" fn(*const *const c_void, *const *const c_void, usize) -> *const c_char,
    replay: unsafe extern "C" fn(*mut c_void) -> *const c_char,
    free: unsafe extern "C" fn(*mut c_void),
}

/// The layer, opened on the first call, or why there is none.
pub(super) fn layer() -> &'static Result<Layer, String> {
    static LAYER: OnceLock<Result<Layer, String>> = OnceLock::new();
    LAYER.get_or_init(|| {
        // The reason is long, and `load_cuda` gives it.
        cuda_half().as_ref().map_err(|_| "there is no CUDA half of LibTorch in use".to_owned())?;
        open()
    })
}

#[cfg(not(cuda_graphs))]
fn open() -> Result<Layer, String> {
    Err(format!("this program was built without them: {}", env!("GTA_GRAPHS_MISSING")))
}

#[cfg(cuda_graphs)]
fn open() -> Result<Layer, String> {
    use std::fs::File;
    use std::io::Write;
    use std::os::fd::{AsRawFd, FromRawFd};
    use std::path::Path;

    static LIBRARY: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/libgta_graph.so"));
    let refused = |what: &str| format!("{what}: {}", std::io::Error::last_os_error());
    // SAFETY: the name is a C string; the answer is checked before it is used.
    let descriptor = unsafe { libc::memfd_create(c"libgta_graph.so".as_ptr(), libc::MFD_CLOEXEC) };
    if descriptor < 0 {
        return Err(refused("no file in memory for the layer over CUDA graphs"));
    }
    // SAFETY: it was just opened, and nobody else has it.
    let mut file = unsafe { File::from_raw_fd(descriptor) };
    file.write_all(LIBRARY).map_err(|error| format!("the layer over CUDA graphs cannot be written: {error}"))?;
    let path = format!("/proc/self/fd/{}", file.as_raw_fd());
    // Its names stay valid when the file is closed: what is loaded is mapped.
    let handle = crate::native::open_for_everyone(Path::new(&path))
        .map_err(|reason| format!("the layer over CUDA graphs does not fit this LibTorch: {reason}"))?;
    // SAFETY: the library is ours, compiled from `graph.cpp` by the same build: each name is a function of its field's type.
    unsafe {
        Ok(Layer {
            enter: function(handle, c"gta_graph_enter")?,
            leave: function(handle, c"gta_graph_leave")?,
            begin: function(handle, c"gta_graph_begin")?,
            end: function(handle, c"gta_graph_end")?,
            refill: function(handle, c"gta_graph_refill")?,
            replay: function(handle, c"gta_graph_replay")?,
            free: function(handle, c"gta_graph_free")?,
        })
    }
}

/// The function called `name` of a loaded library.
///
/// # Safety
/// `handle` is one that dlopen gave, and `F` the type of a pointer to that function.
#[cfg(cuda_graphs)]
unsafe fn function<F>(handle: *mut c_void, name: &CStr) -> Result<F, String> {
    assert_eq!(size_of::<F>(), size_of::<*mut c_void>(), "a pointer to a function");
    // SAFETY: the handle is of a loaded library, as the caller promises, and the name a C string.
    let address = unsafe { libc::dlsym(handle, name.as_ptr()) };
    if address.is_null() {
        return Err(format!("the layer over CUDA graphs has no {name:?}"));
    }
    // SAFETY: it is not null, of the size just checked, and of the type that the caller promises.
    Ok(unsafe { std::mem::transmute_copy(&address) })
}

/// The layer's answer as a result.
///
/// # Safety
/// `answer` is null or the text of a layer's function that this thread called last.
unsafe fn checked(answer: *const c_char) -> Result<(), String> {
    if answer.is_null() {
        return Ok(());
    }
    // SAFETY: the text lives until the thread's next call of the layer, as the caller promises.
    Err(unsafe { CStr::from_ptr(answer) }.to_string_lossy().into_owned())
}

/// Recording on one GPU.
pub(super) struct Cuda {
    layer: &'static Layer,
    index: c_int,
}

impl Cuda {
    /// For the GPU with this number, if there is a layer.
    pub(super) fn on(index: usize) -> Option<Self> {
        Some(Self { layer: layer().as_ref().ok()?, index: c_int::try_from(index).ok()? })
    }

    /// Work on the thread's side stream until what is returned goes.
    fn enter(&self) -> Result<Aside, String> {
        // SAFETY: any number may be asked for; a GPU that is not there is an answer.
        unsafe { checked((self.layer.enter)(self.index)) }?;
        Ok(Aside(Some(self.layer)))
    }
}

/// While it lives, the thread's work goes to its side stream.
struct Aside(Option<&'static Layer>);

impl Aside {
    fn leave(mut self) -> Result<(), String> {
        // SAFETY: this thread entered, and has not left yet.
        self.0.take().map_or(Ok(()), |layer| unsafe { checked((layer.leave)()) })
    }
}

impl Drop for Aside {
    fn drop(&mut self) {
        if let Some(layer) = self.0.take() {
            // SAFETY: as above. What went wrong before is what is reported.
            let _ = unsafe { checked((layer.leave)()) };
        }
    }
}

/// One recorded graph.
pub(super) struct Tape {
    layer: &'static Layer,
    graph: *mut c_void,
}

// SAFETY: LibTorch allows a graph to be started and freed by any thread, one at a time; nothing here is shared.
unsafe impl Send for Tape {}

impl Drop for Tape {
    fn drop(&mut self) {
        // SAFETY: the graph is of the layer's making and freed once.
        unsafe { (self.layer.free)(self.graph) }
    }
}

impl Recorder for Cuda {
    type Tape = Tape;

    fn aside<T>(&self, work: impl FnOnce() -> T) -> Result<T, String> {
        let aside = self.enter()?;
        let out = work();
        aside.leave().map(|()| out)
    }

    fn record<T>(&self, work: impl FnOnce() -> T) -> Result<(Tape, T), String> {
        // LibTorch records one graph at a time in a process.
        static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
        let _guard = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
        let aside = self.enter()?;
        let mut graph = null_mut();
        // SAFETY: the place for the graph is valid for the call.
        unsafe { checked((self.layer.begin)(&mut graph)) }?;
        let tape = Tape { layer: self.layer, graph };
        let out = work();
        // SAFETY: this thread began the recording on the stream it is still on.
        let ended = unsafe { checked((self.layer.end)(tape.graph)) };
        let left = aside.leave();
        ended.and(left).map(|()| (tape, out))
    }

    fn refill(&self, into: &[Tensor], from: &[&Tensor]) -> Result<(), String> {
        let into: Vec<*const c_void> = into.iter().map(|tensor| tensor.as_ptr().cast()).collect();
        let from: Vec<*const c_void> = from.iter().map(|tensor| tensor.as_ptr().cast()).collect();
        // SAFETY: both lists hold that many tensors of LibTorch, which live through the call.
        unsafe { checked((self.layer.refill)(into.as_ptr(), from.as_ptr(), into.len().min(from.len()))) }
    }

    fn replay(&self, tape: &Tape) -> Result<(), String> {
        // SAFETY: the graph was recorded to its end.
        unsafe { checked((self.layer.replay)(tape.graph)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::native::load_cuda;

    fn never() {
        unreachable!("there is no GPU");
    }

    #[test]
    fn the_layer_says_why_it_is_not_there_or_what_went_wrong() {
        let recorder = match layer() {
            Err(reason) => return assert!(!reason.is_empty() && Cuda::on(0).is_none()),
            Ok(layer) => Cuda { layer, index: 0 },
        };
        // It copies for any device.
        let (into, from) = ([Tensor::from(1.0f32), Tensor::from(2i64)], [Tensor::from(3.0f32), Tensor::from(4i64)]);
        recorder.refill(&into, &from.each_ref()).unwrap();
        assert_eq!(into, from);
        if load_cuda().is_err() {
            // Exceptions of LibTorch arrive as texts, and the thread is where it was.
            for _ in 0..2 {
                assert!(!recorder.aside(never).unwrap_err().is_empty());
                assert!(recorder.record(never).is_err());
            }
            assert!(recorder.refill(&into[..1], &[&Tensor::from_slice(&[1.0f32, 2.0])]).is_err());
        }
    }
}
