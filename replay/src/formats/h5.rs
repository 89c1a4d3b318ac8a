//! HDF5 groups read with every check that a stranger's file needs, and written without surprises.

use std::path::Path;
use std::{fs, io, mem};

use hdf5::types::{FixedAscii, FixedUnicode, TypeDescriptor, VarLenAscii, VarLenUnicode};
use hdf5::{Container, Group, H5Type};

use crate::formats::replace;
use crate::{Error, Result};

/// No compression of HDF5's makes more than this of a byte (deflate's limit is 1032).
const MOST_EXPANSION: u64 = 1100;
/// Datasets up to this size are read whatever the file's size: unwritten chunks take no room in it.
const ALWAYS_ALLOWED: u64 = 64 << 20;

/// Opens a file for reading; tells a file that is not HDF5 or is cut short from one that cannot be opened.
pub(crate) fn open(path: &Path) -> Result<hdf5::File> {
    let io = |source| Error::Io { path: path.into(), source };
    let format = |why| Error::Format { path: path.into(), why };
    if !fs::metadata(path).map_err(io)?.is_file() {
        return Err(format("is not a file".into()));
    }
    fs::File::open(path).map_err(io)?;
    hdf5::File::open(path).map_err(|e| format(format!("is not a complete HDF5 file ({e})")))
}

/// A group of a file.
#[derive(Debug)]
pub(crate) struct Folder<'a> {
    path: &'a Path,
    /// The group's name inside the file with a `/` at its end, or nothing for the root.
    prefix: String,
    group: Group,
    file_bytes: u64,
}

impl<'a> Folder<'a> {
    /// The root group of `file`, which was opened from `path`.
    pub(crate) fn root(path: &'a Path, file: &hdf5::File) -> Result<Self> {
        let group = file.group("/").map_err(|e| Error::Format { path: path.into(), why: e.to_string() })?;
        let file_bytes = fs::metadata(path).map_err(|source| Error::Io { path: path.into(), source })?.len();
        Ok(Self { path, prefix: String::new(), group, file_bytes })
    }

    /// The file it lies in.
    pub(crate) fn path(&self) -> &'a Path {
        self.path
    }

    /// Whether something called `name` lies in this group.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.group.link_exists(name)
    }

    /// Names in this group, sorted.
    pub(crate) fn names(&self) -> Result<Vec<String>> {
        let mut names = self.group.member_names().map_err(|e| self.error("", e.to_string()))?;
        names.sort();
        Ok(names)
    }

    /// The group called `name`, or `None` where it is missing or something else.
    pub(crate) fn folder(&self, name: &str) -> Option<Self> {
        let group = self.group.group(name).ok()?;
        let prefix = format!("{}{name}/", self.prefix);
        Some(Self { path: self.path, prefix, group, file_bytes: self.file_bytes })
    }

    /// The dataset called `name`, of numbers and of a believable size.
    pub(crate) fn column(&self, name: &str) -> Result<Column<'a>> {
        if !self.has(name) {
            return Err(self.error(name, "is missing".into()));
        }
        let data = self.group.dataset(name).map_err(|_| self.error(name, "is not a dataset".into()))?;
        let column = Column { path: self.path, name: format!("{}{name}", self.prefix), shape: data.shape(), data };
        column.check(self.file_bytes)?;
        Ok(column)
    }

    /// An error about `name` in this group.
    pub(crate) fn error(&self, name: &str, why: String) -> Error {
        Error::Data { path: self.path.into(), dataset: format!("{}{name}", self.prefix), row: None, why }
    }

    /// Attributes and scalar datasets of this group as text; what is neither text nor number is left out.
    pub(crate) fn texts(&self) -> Vec<(String, String)> {
        let mut texts = Vec::new();
        for name in self.group.attr_names().unwrap_or_default() {
            if let Some(text) = self.group.attr(&name).ok().and_then(|attribute| text(&attribute)) {
                texts.push((name, text));
            }
        }
        for name in self.names().unwrap_or_default() {
            if let Some(text) = self.group.dataset(&name).ok().and_then(|data| text(&data)) {
                texts.push((name, text));
            }
        }
        texts
    }
}

/// A scalar as text, or `None` where it is an array or of another kind.
fn text(value: &Container) -> Option<String> {
    use TypeDescriptor as T;
    if !value.is_scalar() {
        return None;
    }
    match value.dtype().ok()?.to_descriptor().ok()? {
        T::VarLenUnicode => Some(value.read_scalar::<VarLenUnicode>().ok()?.to_string()),
        T::VarLenAscii => Some(value.read_scalar::<VarLenAscii>().ok()?.to_string()),
        T::FixedUnicode(size) if size <= 4096 => Some(value.read_scalar::<FixedUnicode<4096>>().ok()?.to_string()),
        T::FixedAscii(size) if size <= 4096 => Some(value.read_scalar::<FixedAscii<4096>>().ok()?.to_string()),
        T::Integer(_) => Some(value.read_scalar::<i64>().ok()?.to_string()),
        T::Unsigned(_) => Some(value.read_scalar::<u64>().ok()?.to_string()),
        T::Float(_) => Some(value.read_scalar::<f64>().ok()?.to_string()),
        // Read as a number: a stranger's file may hold a 2 in it, which no `bool` can.
        T::Boolean => Some((value.read_scalar::<i8>().ok()? != 0).to_string()),
        _ => None,
    }
}

/// A dataset of numbers.
#[derive(Debug)]
pub(crate) struct Column<'a> {
    path: &'a Path,
    name: String,
    shape: Vec<usize>,
    data: hdf5::Dataset,
}

impl Column<'_> {
    fn check(&self, file_bytes: u64) -> Result<()> {
        let dtype = self.data.dtype().map_err(|e| self.error(None, e.to_string()))?;
        if dtype.conv_to::<f32>().is_none() {
            return Err(self.error(None, format!("expected numbers, found {}", self.stored())));
        }
        let claimed = self.shape.iter().try_fold(dtype.size() as u64, |size, &n| size.checked_mul(n as u64));
        let limit = file_bytes.saturating_mul(MOST_EXPANSION).max(ALWAYS_ALLOWED);
        if claimed.is_none_or(|bytes| bytes > limit) {
            let why = format!("claims the shape {:?}, which a file of {file_bytes} bytes cannot hold", self.shape);
            return Err(self.error(None, why));
        }
        Ok(())
    }

    /// Its name inside the file.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Its shape.
    pub(crate) fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// The kind of number stored, such as `float64`, for people.
    pub(crate) fn stored(&self) -> String {
        let descriptor = self.data.dtype().and_then(|dtype| dtype.to_descriptor());
        descriptor.map_or_else(|_| "an unknown type".into(), |d| d.to_string())
    }

    /// An error about this dataset.
    pub(crate) fn error(&self, row: Option<usize>, why: String) -> Error {
        Error::Data { path: self.path.into(), dataset: self.name.clone(), row, why }
    }

    /// Rows and numbers in a row, of a table `[N, D]` with `D > 0`.
    pub(crate) fn table(&self) -> Result<(usize, usize)> {
        match self.shape[..] {
            [_, 0] => Err(self.error(None, "has rows of no numbers".into())),
            [rows, width] => Ok((rows, width)),
            _ => Err(self.error(None, format!("expected the shape [rows, numbers], found {:?}", self.shape))),
        }
    }

    /// Fails unless it holds one number a row for `rows` rows: `[N]`, or `[N, 1]` as some files have it.
    pub(crate) fn one_a_row(&self, rows: usize, of: &str) -> Result<()> {
        match self.shape[..] {
            [n] | [n, 1] => self.expect_rows(n, rows, of),
            _ => Err(self.error(None, format!("expected the shape [rows], found {:?}", self.shape))),
        }
    }

    /// Fails unless `found` rows are the `rows` that `of` has.
    pub(crate) fn expect_rows(&self, found: usize, rows: usize, of: &str) -> Result<()> {
        if found != rows {
            return Err(self.error(None, format!("has {found} rows where '{of}' has {rows}")));
        }
        Ok(())
    }

    /// Appends all numbers to `out` and fails where one is not finite; `width` numbers make a row.
    pub(crate) fn append_to(&self, out: &mut Vec<f32>, width: usize) -> Result<()> {
        let start = out.len();
        self.append_raw(out)?;
        match out[start..].iter().position(|v| !v.is_finite()) {
            Some(at) => {
                let why = format!("{} is not a finite 32-bit number", out[start + at]);
                Err(self.error(Some(at / width.max(1)), why))
            }
            None => Ok(()),
        }
    }

    /// Appends all numbers to `out`, finite or not.
    pub(crate) fn append_any_to(&self, out: &mut Vec<f32>) -> Result<()> {
        self.append_raw(out)
    }

    /// Appends all values of a dataset of bytes to `out`.
    pub(crate) fn append_bytes_to(&self, out: &mut Vec<u8>) -> Result<()> {
        let stored = self.stored();
        if stored != "uint8" {
            return Err(self.error(None, format!("expected uint8, found {stored}")));
        }
        self.append_raw(out)
    }

    /// All numbers, in 64 bits; fails where one is not finite.
    pub(crate) fn read_f64(&self, width: usize) -> Result<Vec<f64>> {
        let mut out: Vec<f64> = Vec::new();
        self.append_raw(&mut out)?;
        match out.iter().position(|v| !v.is_finite()) {
            Some(at) => Err(self.error(Some(at / width.max(1)), format!("{} is not finite", out[at]))),
            None => Ok(out),
        }
    }

    /// All values as whole numbers.
    pub(crate) fn read_u64(&self) -> Result<Vec<u64>> {
        let mut out = Vec::new();
        self.append_raw(&mut out)?;
        Ok(out)
    }

    /// Appends all values as flags; whatever the stored type, each must be 0 or 1.
    pub(crate) fn append_flags_to(&self, out: &mut Vec<bool>) -> Result<()> {
        let mut values: Vec<f64> = Vec::new();
        self.append_raw(&mut values)?;
        out.reserve(values.len());
        for (row, value) in values.into_iter().enumerate() {
            match value {
                0.0 => out.push(false),
                1.0 => out.push(true),
                _ => return Err(self.error(Some(row), format!("{value} is neither 0 nor 1"))),
            }
        }
        Ok(())
    }

    /// Appends all values to `out`, converted by HDF5 on the way in, so that no second copy is made.
    fn append_raw<T: H5Type + Copy + Default>(&self, out: &mut Vec<T>) -> Result<()> {
        let count: usize = self.shape.iter().product();
        let start = out.len();
        let refused = |_| self.error(None, format!("the shape {:?} does not fit into memory", self.shape));
        out.try_reserve_exact(if start == 0 { count } else { 0 }).map_err(refused)?;
        out.try_reserve(count).map_err(refused)?;
        out.resize(start + count, T::default());
        let read = self.data.as_reader().read_into_raw(&mut out[start..]);
        read.map(drop).map_err(|e| self.error(None, format!("cannot be read: {e}")))
    }
}

/// Writes datasets of rows, compressed.
#[derive(Debug)]
pub(crate) struct Sheet<'a> {
    /// The file to name in errors.
    pub(crate) path: &'a Path,
    /// Where to write.
    pub(crate) group: Group,
}

impl Sheet<'_> {
    /// Writes `[rows, width]` values under `name`, or `[rows]` where `width` is `None`.
    pub(crate) fn write<T: H5Type>(&self, name: &str, width: Option<usize>, values: &[T]) -> Result<()> {
        let columns = width.unwrap_or(1).max(1);
        let rows = values.len() / columns;
        // Chunks of 256 KiB: whole rows, small enough for HDF5's cache, large enough to compress.
        let chunk = ((256 << 10) / (columns * size_of::<T>())).clamp(1, rows.max(1));
        let builder = self.group.new_dataset::<T>();
        // The bookkeeping of a chunk takes more room than compressing a few rows saves.
        let small = size_of_val(values) < 2048;
        let created = match (small, width) {
            (true, Some(width)) => builder.no_chunk().shape((rows, width)).create(name),
            (true, None) => builder.no_chunk().shape(rows).create(name),
            (false, Some(width)) => {
                builder.shuffle().deflate(4).chunk((chunk, width)).shape((rows, width)).create(name)
            }
            (false, None) => builder.shuffle().deflate(4).chunk(chunk).shape(rows).create(name),
        };
        let dataset = created.map_err(|e| self.error(name, &e))?;
        let written = dataset.write_raw(values);
        self.flush(dataset, name, written)
    }

    /// Writes a text under `name`.
    pub(crate) fn text(&self, name: &str, value: &str) -> Result<()> {
        let value: VarLenUnicode =
            value.parse().map_err(|_| Error::Invalid { what: name.into(), why: "holds a NUL character".into() })?;
        let created = self.group.new_dataset::<VarLenUnicode>().create(name);
        let dataset = created.map_err(|e| self.error(name, &e))?;
        let written = dataset.write_scalar(&value);
        self.flush(dataset, name, written)
    }

    /// Ends the writing of `dataset`, which is kept open for ever where its content did not reach the file: closing it
    /// would fail as well, and HDF5 then keeps a reference to what it has freed and crashes at its next flush.
    fn flush(&self, dataset: hdf5::Dataset, name: &str, written: hdf5::Result<()>) -> Result<()> {
        written.and_then(|()| dataset.flush()).map_err(|e| {
            let error = self.error(name, &e);
            mem::forget(dataset);
            error
        })
    }

    /// Writes a whole number as an attribute of this group.
    pub(crate) fn attribute(&self, name: &str, value: i64) -> Result<()> {
        let created = self.group.new_attr::<i64>().create(name);
        created.and_then(|attribute| attribute.write_scalar(&value)).map_err(|e| self.error(name, &e))
    }

    /// A group inside this one.
    pub(crate) fn folder(&self, name: &str) -> Result<Self> {
        let group = self.group.create_group(name).map_err(|e| self.error(name, &e))?;
        Ok(Self { path: self.path, group })
    }

    /// The failure to write `name`.
    fn error(&self, name: &str, cause: &hdf5::Error) -> Error {
        not_written(self.path, Some(name), cause)
    }
}

/// The failure to write `path`, or `dataset` in it: the system's own, such as a full disk, where HDF5 names its number.
fn not_written(path: &Path, dataset: Option<&str>, cause: &hdf5::Error) -> Error {
    let path = path.to_path_buf();
    let text = cause.to_string();
    let number = text.split("errno = ").nth(1).and_then(|rest| rest.split(|c: char| !c.is_ascii_digit()).next());
    if let Some(number) = number.and_then(|digits| digits.parse().ok()) {
        return Error::Io { path, source: io::Error::from_raw_os_error(number) };
    }
    let why = format!("cannot be written: {text}");
    match dataset {
        Some(dataset) => Error::Data { path, dataset: dataset.into(), row: None, why },
        None => Error::Format { path, why },
    }
}

/// Writes a file by `fill` at `partial` and makes sure that all of it reached the disk; errors name `target`.
pub(crate) fn create(partial: &Path, target: &Path, fill: impl FnOnce(Sheet<'_>) -> Result<()>) -> Result<()> {
    let io = |source| Error::Io { path: target.into(), source };
    let failed = |e: hdf5::Error| not_written(target, None, &e);
    // The system's own words ("Permission denied") are better than HDF5's: ask it first.
    fs::File::create(partial).map_err(io)?;
    let file = hdf5::File::create(partial).map_err(failed)?;
    let group = file.group("/").map_err(failed)?;
    if let Err(error) = fill(Sheet { path: target, group }).and_then(|()| file.flush().map_err(failed)) {
        // As with a dataset, HDF5 must not try again to write what it could not. The file stays open, so the disk gets
        // its room back only by making it empty.
        mem::forget(file);
        let _ = fs::File::create(partial);
        return Err(error);
    }
    file.close().map_err(failed)?;
    replace::sync(partial).map_err(io)
}
