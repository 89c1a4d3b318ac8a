//! Planar figures made of capsules and hinges, and the MJCF text that describes them to MuJoCo.

use std::fmt::Write as _;

/// The figures of a planar robot: all positions lie in the plane of x (forward) and z (up).
pub(crate) struct Figure {
    /// Name of the model.
    pub name: &'static str,
    /// Seconds per simulation step.
    pub timestep: f64,
    /// MuJoCo's name of the integrator.
    pub integrator: &'static str,
    /// Mass to which all bodies are scaled, where the densities do not decide.
    pub total_mass: Option<f64>,
    /// What the hinges share.
    pub hinges: Hinges,
    /// What the geoms share.
    pub contact: Contact,
    /// Whether the height in `qpos` counts from the ground (as Hopper's) and not from the standing pose (as
    /// HalfCheetah's).
    pub absolute_height: bool,
    /// Torso first; every other segment after its parent.
    pub segments: &'static [Segment],
}

/// Constants of all hinges, unless a hinge has its own.
pub(crate) struct Hinges {
    pub armature: f64,
    pub damping: f64,
    pub stiffness: f64,
    /// `solimplimit`, where it is not MuJoCo's default.
    pub limit_impedance: Option<[f64; 3]>,
}

/// Contact constants of all geoms, unless a geom has its own.
pub(crate) struct Contact {
    /// `condim` of the segments; the ground has 3, and MuJoCo takes the larger of a pair.
    pub dimensions: u8,
    /// Whether segments touch each other and not only the ground.
    pub among_segments: bool,
    pub margin: f64,
    pub friction: Option<[f64; 3]>,
    /// `solimp`, where it is not MuJoCo's default.
    pub impedance: Option<[f64; 3]>,
}

/// A rigid part and the hinge that it hangs from.
pub(crate) struct Segment {
    pub name: &'static str,
    /// Index of the segment that it hangs from; `None` for the torso.
    pub parent: Option<usize>,
    /// Frame, seen from the parent's frame.
    pub origin: [f64; 2],
    /// How it is driven; `None` for the torso.
    pub hinge: Option<Hinge>,
    /// Its shape.
    pub capsules: &'static [Capsule],
}

/// A limited, motor-driven hinge about the y axis.
pub(crate) struct Hinge {
    /// Seen from the segment's frame.
    pub anchor: [f64; 2],
    /// `1` where positive angles turn about +y, `-1` where about -y.
    pub sense: f64,
    /// Radians.
    pub range: [f64; 2],
    pub damping: Option<f64>,
    pub stiffness: Option<f64>,
    /// Torque in N m at an action of 1.
    pub gear: f64,
}

/// A capsule, upright unless pitched.
pub(crate) struct Capsule {
    /// Seen from the segment's frame.
    pub centre: [f64; 2],
    /// Rotation about y, radians.
    pub pitch: f64,
    pub radius: f64,
    /// Half the length of its axis.
    pub half_length: f64,
    /// Sliding friction, where it has its own.
    pub friction: Option<f64>,
}

/// Name of the camera that follows the torso.
pub(crate) const CAMERA: &str = "follow";
/// Largest width of a frame.
pub(crate) const FRAME_WIDTH: usize = 1280;
/// Largest height of a frame.
pub(crate) const FRAME_HEIGHT: usize = 960;

impl Figure {
    /// The model as MJCF text.
    pub fn mjcf(&self) -> String {
        let mut text = String::with_capacity(8192);
        self.write(&mut text).expect("writing to a string does not fail");
        text
    }

    fn write(&self, out: &mut String) -> std::fmt::Result {
        let mass = self.total_mass.map_or(String::new(), |m| format!(r#" settotalmass="{m}""#));
        writeln!(out, r#"<mujoco model="{}">"#, self.name)?;
        writeln!(out, r#"<compiler angle="radian" inertiafromgeom="true"{mass}/>"#)?;
        writeln!(out, r#"<option timestep="{}" integrator="{}"/>"#, self.timestep, self.integrator)?;
        self.write_look(out)?;
        self.write_defaults(out)?;
        writeln!(out, "<worldbody>")?;
        // Without half sizes the plane is drawn to the horizon; it is touched everywhere in any case.
        writeln!(
            out,
            r#"<geom name="ground" type="plane" size="0 0 1" condim="3" conaffinity="1" material="ground" rgba="1 1 1 1"/>"#
        )?;
        self.write_segment(out, 0)?;
        writeln!(out, "</worldbody>\n<actuator>")?;
        for segment in self.segments {
            if let Some(hinge) = &segment.hinge {
                let (name, gear) = (segment.name, hinge.gear);
                writeln!(
                    out,
                    r#"<motor name="{name}" joint="{name}" gear="{gear}" ctrllimited="true" ctrlrange="-1 1"/>"#
                )?;
            }
        }
        writeln!(out, "</actuator>\n</mujoco>")
    }

    /// Colours and the size of the largest frame; nothing here moves anything.
    fn write_look(&self, out: &mut String) -> std::fmt::Result {
        writeln!(out, r#"<visual><global offwidth="{FRAME_WIDTH}" offheight="{FRAME_HEIGHT}"/>"#)?;
        writeln!(out, r#"<headlight ambient="0.35 0.35 0.35"/></visual>"#)?;
        writeln!(out, "<asset>")?;
        writeln!(
            out,
            r#"<texture name="sky" type="skybox" builtin="gradient" rgb1="0.75 0.85 0.95" rgb2="0.3 0.4 0.55" width="64" height="64"/>"#
        )?;
        writeln!(
            out,
            r#"<texture name="ground" type="2d" builtin="checker" rgb1="0.32 0.36 0.4" rgb2="0.42 0.46 0.5" width="128" height="128"/>"#
        )?;
        writeln!(out, r#"<material name="ground" texture="ground" texrepeat="1 1" texuniform="true"/>"#)?;
        writeln!(out, "</asset>")
    }

    fn write_defaults(&self, out: &mut String) -> std::fmt::Result {
        let (hinges, contact) = (&self.hinges, &self.contact);
        write!(out, r#"<default><joint limited="true" armature="{}" damping="{}""#, hinges.armature, hinges.damping)?;
        write!(out, r#" stiffness="{}""#, hinges.stiffness)?;
        if let Some(impedance) = &hinges.limit_impedance {
            write!(out, r#" solimplimit="{}""#, numbers(impedance))?;
        }
        write!(out, r#"/><geom condim="{}" contype="1""#, contact.dimensions)?;
        write!(out, r#" conaffinity="{}" margin="{}""#, u8::from(contact.among_segments), contact.margin)?;
        if let Some(friction) = &contact.friction {
            write!(out, r#" friction="{}""#, numbers(friction))?;
        }
        if let Some(impedance) = &contact.impedance {
            write!(out, r#" solimp="{}""#, numbers(impedance))?;
        }
        writeln!(out, r#" rgba="0.85 0.55 0.25 1"/></default>"#)
    }

    /// Writes segment `index` and all that hang from it.
    fn write_segment(&self, out: &mut String, index: usize) -> std::fmt::Result {
        let segment = &self.segments[index];
        let [x, z] = segment.origin;
        writeln!(out, r#"<body name="{}" pos="{x} 0 {z}">"#, segment.name)?;
        match &segment.hinge {
            None => self.write_root(out)?,
            Some(hinge) => {
                let [x, z] = hinge.anchor;
                write!(out, r#"<joint name="{}" type="hinge" pos="{x} 0 {z}""#, segment.name)?;
                write!(out, r#" axis="0 {} 0" range="{}""#, hinge.sense, numbers(&hinge.range))?;
                for (key, value) in [("damping", hinge.damping), ("stiffness", hinge.stiffness)] {
                    if let Some(value) = value {
                        write!(out, r#" {key}="{value}""#)?;
                    }
                }
                writeln!(out, "/>")?;
            }
        }
        for capsule in segment.capsules {
            let [x, z] = capsule.centre;
            write!(out, r#"<geom type="capsule" pos="{x} 0 {z}" axisangle="0 1 0 {}""#, capsule.pitch)?;
            write!(out, r#" size="{} {}""#, capsule.radius, capsule.half_length)?;
            if let Some(friction) = capsule.friction {
                write!(out, r#" friction="{friction}""#)?;
            }
            writeln!(out, "/>")?;
        }
        for child in 0..self.segments.len() {
            if self.segments[child].parent == Some(index) {
                self.write_segment(out, child)?;
            }
        }
        writeln!(out, "</body>")
    }

    /// The torso's three free directions, without limits, friction or springs, and the light and the camera that follow it.
    fn write_root(&self, out: &mut String) -> std::fmt::Result {
        let height = if self.absolute_height { self.segments[0].origin[1] } else { 0.0 };
        writeln!(
            out,
            r#"<light mode="trackcom" directional="true" castshadow="false" pos="0 0 3" dir="0.3 0.5 -1" diffuse="0.7 0.7 0.7"/>"#
        )?;
        writeln!(out, r#"<camera name="{CAMERA}" mode="trackcom" pos="0 -4 0.4" xyaxes="1 0 0 0 0.1 1"/>"#)?;
        for (name, kind, axis, pos, reference) in [
            ("root_x", "slide", "1 0 0", -height, 0.0),
            ("root_z", "slide", "0 0 1", -height, height),
            ("root_pitch", "hinge", "0 1 0", 0.0, 0.0),
        ] {
            write!(out, r#"<joint name="{name}" type="{kind}" axis="{axis}" pos="0 0 {pos}" ref="{reference}""#)?;
            writeln!(out, r#" limited="false" armature="0" damping="0" stiffness="0"/>"#)?;
        }
        Ok(())
    }
}

/// Numbers separated by spaces, each in the shortest form that reads back as the same `f64`.
fn numbers(values: &[f64]) -> String {
    values.iter().map(f64::to_string).collect::<Vec<_>>().join(" ")
}
