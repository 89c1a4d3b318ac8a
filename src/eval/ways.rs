//! Ways through a maze, over its map.

use std::fmt::Write;

use envs::Maze;

use super::svg::{FRAME, GRID, INK, Keys, MUTED, style};

/// Named ways through a maze.
#[derive(Clone, Debug, PartialEq)]
pub struct Ways {
    /// What they are, for the legend.
    pub name: String,
    /// Places of each way, in order: row and column of the map, whole numbers in the middle of a tile
    /// ([`EnvId::place_in_maze`](envs::EnvId::place_in_maze)). Those that are not finite are left out.
    pub values: Vec<Vec<[f64; 2]>>,
}

/// Draws a map and ways over it into a plot; each way begins with a dot.
pub(super) fn ways(
    keys: &mut Keys<'_>,
    [x0, y0, x1, y1]: [f64; 4],
    maze: Maze,
    goal: Option<[f64; 2]>,
    series: &[Ways],
) {
    let map = maze.map();
    let (rows, columns) = (map.len() as f64, map[0].len() as f64);
    let tile = ((x1 - x0) / columns).min((y1 - y0) / rows);
    let (left, top) = ((x0 + x1 - tile * columns) / 2.0, (y0 + y1 - tile * rows) / 2.0);
    let at = |[row, column]: [f64; 2]| [left + tile * (column + 0.5), top + tile * (row + 0.5)];
    for (row, line) in map.iter().enumerate() {
        for (column, _) in line.bytes().enumerate().filter(|&(_, mark)| mark == b'#') {
            let [x, y] = at([row as f64 - 0.5, column as f64 - 0.5]);
            keys.svg.line(format_args!(
                r#"<rect x="{x:.1}" y="{y:.1}" width="{tile:.1}" height="{tile:.1}" fill="{MUTED}" stroke="{FRAME}" stroke-width="0.5"/>"#
            ));
        }
    }
    let outline = format!(r#"width="{:.1}" height="{:.1}""#, tile * columns, tile * rows);
    keys.svg.line(format_args!(r#"<rect x="{left:.1}" y="{top:.1}" {outline} fill="none" stroke="{GRID}"/>"#));
    for (index, ways) in series.iter().enumerate() {
        let (colour, dashes) = style(index);
        let (mut lines, mut dots) = (String::new(), String::new());
        for way in &ways.values {
            let places = way.iter().filter(|place| place.iter().all(|v| v.is_finite())).map(|&place| at(place));
            for (number, [x, y]) in places.enumerate() {
                // Writing to a string cannot fail.
                let _ = write!(lines, "{}{x:.1} {y:.1}", if number == 0 { "M" } else { "L" });
                if number == 0 {
                    let _ = write!(dots, "M{:.1} {y:.1}a2.5 2.5 0 1 0 5 0a2.5 2.5 0 1 0 -5 0", x - 2.5);
                }
            }
        }
        let stroke = format!(r#"stroke="{colour}" stroke-width="1.3" stroke-dasharray="{dashes}""#);
        if !lines.is_empty() {
            keys.svg.line(format_args!(
                r#"<path d="{lines}" fill="none" {stroke} stroke-opacity="0.75" stroke-linejoin="round"/>"#
            ));
            keys.svg.line(format_args!(r#"<path d="{dots}" fill="{colour}"/>"#));
        }
        let text = format!("{} ({})", ways.name, ways.values.len());
        keys.key(|x, y| format!(r#"<path d="M{x:.1} {y:.1}h24" fill="none" {stroke}/>"#), &text);
    }
    if let Some(place) = goal {
        let star = |x: f64, y: f64| format!("M{:.1} {:.1}l12 12m0 -12l-12 12", x - 6.0, y - 6.0);
        let [x, y] = at(place);
        let stroke = format!(r#"fill="none" stroke="{INK}" stroke-width="2.4""#);
        keys.svg.line(format_args!(r#"<path d="{}" {stroke}/>"#, star(x, y)));
        keys.key(|x, y| format!(r#"<path d="{}" {stroke}/>"#, star(x + 12.0, y)), "goal");
    }
}

#[cfg(test)]
mod tests {
    use super::super::Panel;
    use super::super::picture::tests::assert_well_formed;
    use super::*;

    fn panel(values: Vec<Vec<[f64; 2]>>, goal: Option<[f64; 2]>) -> String {
        let series = vec![Ways { name: "a & b".into(), values }];
        Panel::Maze { title: "t".into(), maze: Maze::Umaze, goal, series }.to_svg()
    }

    #[test]
    fn ways_run_over_free_tiles_of_the_map() {
        let svg = panel(vec![vec![[1.0, 1.0], [1.0, 2.0]], vec![[3.0, 3.0], [f64::NAN, 0.0]]], Some([1.0, 1.0]));
        assert_well_formed(&svg);
        assert_eq!(svg.matches("<rect").count(), 18 + 1, "18 of 25 tiles are walls");
        // A step to the next column is one tile to the right.
        let path = svg.split(r#"<path d="M"#).nth(1).unwrap();
        let numbers: Vec<f64> = path.split(['L', 'M', ' ', '"']).take(6).map(|text| text.parse().unwrap()).collect();
        let walls: Vec<f64> =
            svg.split(r#"width=""#).skip(1).filter_map(|w| w.split('"').next()?.parse().ok()).collect();
        assert!((numbers[2] - numbers[0] - walls[0]).abs() < 0.11 && numbers[1] == numbers[3], "{numbers:?} {walls:?}");
        assert!(svg.contains("a &amp; b (2)") && svg.contains(">goal<"));
    }

    #[test]
    fn an_empty_map_is_whole() {
        let svg = panel(vec![vec![]], None);
        assert_well_formed(&svg);
        assert!(!svg.contains(">goal<") && svg.contains("a &amp; b (1)"));
    }
}
