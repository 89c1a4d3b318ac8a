//! Frames one after the other, as a PNG file that moves.

use std::fs::File;
use std::io::{self, BufWriter};
use std::path::Path;

use mujoco_rs::renderer::png;

use crate::{Error, Frame, Result};

/// Frames of one size, shown one after the other without end.
#[derive(Clone, Debug, PartialEq)]
pub struct Animation {
    frames: Vec<Frame>,
    milliseconds: u16,
}

impl Animation {
    /// No frame yet; each will be shown for `seconds`, to the nearest millisecond and up to a minute.
    pub fn new(seconds: f64) -> Self {
        Self { frames: Vec::new(), milliseconds: (1e3 * seconds).round().clamp(1.0, 60_000.0) as u16 }
    }

    /// Adds a frame at the end.
    ///
    /// # Errors
    /// If it is not of the size of those before it.
    pub fn push(&mut self, frame: Frame) -> Result<()> {
        if let Some(first) = self.frames.first()
            && (first.width, first.height) != (frame.width, frame.height)
        {
            let why = format!(
                "{} by {} pixels, where the others have {} by {}",
                frame.width, frame.height, first.width, first.height
            );
            return Err(Error::invalid("frame of an animation", why));
        }
        self.frames.push(frame);
        Ok(())
    }

    /// The frames.
    pub fn frames(&self) -> &[Frame] {
        &self.frames
    }

    /// Writes an animated PNG file; programs that know only still ones show the first frame.
    ///
    /// # Errors
    /// If there is no frame, or the file cannot be written.
    pub fn save_png(&self, path: impl AsRef<Path>) -> io::Result<()> {
        let Some(first) = self.frames.first() else {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "an animation without a frame"));
        };
        let mut encoder = first.encoder(BufWriter::new(File::create(path)?));
        if self.frames.len() > 1 {
            encoder.set_animated(self.frames.len() as u32, 0)?;
            encoder.set_frame_delay(self.milliseconds, 1000)?;
        }
        let mut writer = encoder.write_header()?;
        for frame in &self.frames {
            writer.write_image_data(&frame.rgb)?;
        }
        writer.finish()?;
        Ok(())
    }
}

impl Frame {
    /// The settings of a PNG file of this size.
    pub(crate) fn encoder<W: io::Write>(&self, file: W) -> png::Encoder<'static, W> {
        // Frames are no larger than a renderer makes them, so that their sizes fit.
        let mut encoder = png::Encoder::new(file, self.width as u32, self.height as u32);
        encoder.set_color(png::ColorType::Rgb);
        encoder.set_depth(png::BitDepth::Eight);
        encoder
    }

    /// This frame and `right` beside it, with a white line of 4 pixels between them.
    ///
    /// # Panics
    /// If they are not of one height.
    pub fn beside(&self, right: &Self) -> Self {
        const LINE: usize = 4;
        assert_eq!(self.height, right.height, "heights of frames side by side");
        let width = self.width + LINE + right.width;
        let mut rgb = Vec::with_capacity(3 * width * self.height);
        for (left, right) in self.rgb.chunks_exact(3 * self.width).zip(right.rgb.chunks_exact(3 * right.width)) {
            rgb.extend_from_slice(left);
            rgb.resize(rgb.len() + 3 * LINE, 255);
            rgb.extend_from_slice(right);
        }
        Self { width, height: self.height, rgb }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(width: usize, value: u8) -> Frame {
        Frame { width, height: 2, rgb: vec![value; 6 * width] }
    }

    #[test]
    fn an_animation_is_read_back_frame_by_frame() {
        let mut animation = Animation::new(0.05);
        assert!(animation.save_png("nowhere.png").is_err());
        (0..3).for_each(|value| animation.push(frame(5, 10 * value)).unwrap());
        assert!(animation.push(frame(4, 0)).unwrap_err().to_string().contains("4 by 2"));
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("moving.png");
        animation.save_png(&path).unwrap();
        let mut reader = png::Decoder::new(io::BufReader::new(File::open(path).unwrap())).read_info().unwrap();
        assert_eq!(reader.info().animation_control().unwrap().num_frames, 3);
        for frame in animation.frames() {
            let mut pixels = vec![0; frame.rgb.len()];
            reader.next_frame(&mut pixels).unwrap();
            assert_eq!(pixels, frame.rgb);
            let control = reader.info().frame_control().unwrap();
            assert_eq!((control.delay_num, control.delay_den), (50, 1000));
        }
    }

    #[test]
    fn frames_side_by_side_keep_their_rows() {
        let both = frame(1, 7).beside(&frame(2, 9));
        let row = [&[7; 3][..], &[255; 12], &[9; 6]].concat();
        assert_eq!((both.width, both.height, both.rgb), (7, 2, row.repeat(2)));
    }
}
