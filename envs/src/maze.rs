//! The three mazes that D4RL's Maze2d and AntMaze share, and shortest ways through them.

use serde::{Deserialize, Serialize};

use crate::EnvId;
use crate::mujoco::{antmaze, maze2d};

/// A maze of D4RL: walls on a grid of square tiles.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Maze {
    /// Seven free tiles in the shape of a U.
    Umaze,
    /// 6 by 6 tiles inside the outer walls.
    Medium,
    /// 7 by 10 tiles inside the outer walls.
    Large,
}

/// A tile by its row and its column, the outer walls included.
pub type Tile = [usize; 2];

impl Maze {
    /// Every maze.
    pub const ALL: [Self; 3] = [Self::Umaze, Self::Medium, Self::Large];

    /// The map: one line a row, `#` where a wall stands and `.` where the way is free.
    pub fn map(self) -> &'static [&'static str] {
        match self {
            Self::Umaze => &[
                "#####", //
                "#...#", "###.#", "#...#", "#####",
            ],
            Self::Medium => &[
                "########", //
                "#..##..#", "#..#...#", "##...###", "#..#...#", "#.#..#.#", "#...#..#", "########",
            ],
            Self::Large => &[
                "############",
                "#....#.....#",
                "#.##.#.#.#.#",
                "#......#...#",
                "#.####.###.#",
                "#..#.#.....#",
                "##.#.#.#.###",
                "#..#...#...#",
                "############",
            ],
        }
    }

    /// Its name in the ids of tasks.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Umaze => "umaze",
            Self::Medium => "medium",
            Self::Large => "large",
        }
    }

    /// Whether a tile lies inside and is no wall.
    pub fn free(self, [row, column]: Tile) -> bool {
        self.map().get(row).and_then(|line| line.as_bytes().get(column)) == Some(&b'.')
    }

    /// The free tiles, row by row.
    pub fn free_tiles(self) -> Vec<Tile> {
        self.tiles(true)
    }

    /// The tiles where walls stand, row by row.
    pub(crate) fn walls(self) -> Vec<Tile> {
        self.tiles(false)
    }

    fn tiles(self, free: bool) -> Vec<Tile> {
        let [rows, columns] = self.size();
        let all = (0..rows).flat_map(|row| (0..columns).map(move |column| [row, column]));
        all.filter(|&tile| self.free(tile) == free).collect()
    }

    fn size(self) -> [usize; 2] {
        [self.map().len(), self.map()[0].len()]
    }

    /// Steps from every tile to `target` over free tiles, `[row][column]`; `None` where there is no way. A wall next
    /// to the way counts as a tile that one can leave but not enter.
    pub(crate) fn distances(self, target: Tile) -> Vec<Vec<Option<usize>>> {
        let [rows, columns] = self.size();
        let mut steps = vec![vec![None; columns]; rows];
        let mut edge = vec![target];
        steps[target[0]][target[1]] = Some(0);
        for step in 1.. {
            let mut next = Vec::new();
            for tile in edge {
                for [row, column] in neighbours(tile) {
                    // Everything outside the map is farther than its outer walls, which no way crosses.
                    if let Some(slot @ None) = steps.get_mut(row).and_then(|line| line.get_mut(column)) {
                        *slot = Some(step);
                        if self.free([row, column]) {
                            next.push([row, column]);
                        }
                    }
                }
            }
            if next.is_empty() {
                break;
            }
            edge = next;
        }
        steps
    }
}

impl EnvId {
    /// The maze of the task, where it has one.
    pub fn maze(self) -> Option<Maze> {
        match self {
            Self::Maze2d(maze, _) | Self::AntMaze(maze) => Some(maze),
            _ => None,
        }
    }

    /// The goal of the maze's episodes; where each has its own, the middle of where they are drawn. In the units of
    /// observations.
    pub fn usual_goal(self) -> Option<[f64; 2]> {
        match self {
            Self::Maze2d(maze, _) => Some(maze2d::goal(maze)),
            Self::AntMaze(maze) => Some(antmaze::usual_goal(maze)),
            _ => None,
        }
    }

    /// Where on the map the point lies that an observation or a goal begins with: row and column, whole numbers in the
    /// middle of a tile. `None` for tasks without a maze, and where there are fewer than two numbers.
    ///
    /// ```
    /// use envs::EnvId;
    ///
    /// let id: EnvId = "antmaze-umaze-v2".parse()?;
    /// // The origin lies in the middle of tile (1, 1); x runs along the columns there.
    /// assert_eq!(id.place_in_maze(&[4.0, 0.0, 0.75]), Some([1.0, 2.0]));
    /// # Ok::<(), envs::Error>(())
    /// ```
    pub fn place_in_maze(self, numbers: &[f64]) -> Option<[f64; 2]> {
        let &[x, y, ..] = numbers else { return None };
        match self {
            Self::Maze2d(..) => Some(maze2d::place([x, y])),
            Self::AntMaze(_) => Some(antmaze::place([x, y])),
            _ => None,
        }
    }
}

/// The tiles beside a tile, in the order in which D4RL's planners try them: column before, column after, row before, row
/// after. Only outer walls have neighbours outside the map, which wrap around and are in no map either.
pub(crate) fn neighbours([row, column]: Tile) -> [Tile; 4] {
    [[row, column.wrapping_sub(1)], [row, column + 1], [row.wrapping_sub(1), column], [row + 1, column]]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mazes_are_closed_and_connected() {
        for (maze, free) in [(Maze::Umaze, 7), (Maze::Medium, 26), (Maze::Large, 46)] {
            let [rows, columns] = maze.size();
            assert!(maze.map().iter().all(|line| line.len() == columns));
            let tiles = maze.free_tiles();
            assert_eq!((tiles.len(), tiles.len() + maze.walls().len()), (free, rows * columns), "{maze:?}");
            assert!(tiles.iter().all(|&[r, c]| 0 < r && r < rows - 1 && 0 < c && c < columns - 1), "closed");
            let steps = maze.distances(tiles[0]);
            assert!(tiles.iter().all(|&[r, c]| steps[r][c].is_some()), "connected");
        }
        assert!(!Maze::Umaze.free([9, 9]) && !Maze::Umaze.free([1, usize::MAX]));
    }

    #[test]
    fn places_of_both_tasks_are_those_of_the_same_map() {
        let maze2d: EnvId = "maze2d-medium-v1".parse().unwrap();
        let antmaze: EnvId = "antmaze-medium-v2".parse().unwrap();
        assert_eq!(
            (maze2d.maze(), antmaze.maze(), EnvId::Hopper.maze()),
            (Some(Maze::Medium), Some(Maze::Medium), None)
        );
        // Tile (2, 6): D4RL's figures of its middle.
        assert_eq!(antmaze.place_in_maze(&[20.0, 4.0]), Some([2.0, 6.0]));
        let [row, column] = maze2d.place_in_maze(&[1.8, 5.8]).unwrap();
        assert!((row - 2.0).abs() < 1e-12 && (column - 6.0).abs() < 1e-12, "{row} {column}");
        assert_eq!((EnvId::Hopper.place_in_maze(&[1.0, 2.0]), maze2d.place_in_maze(&[1.0])), (None, None));
    }

    #[test]
    fn distances_go_around_walls() {
        let steps = Maze::Umaze.distances([1, 1]);
        assert_eq!((steps[1][1], steps[1][3], steps[3][1]), (Some(0), Some(2), Some(6)));
        // A wall beside the way can be left towards it; the way beyond it is no shorter for that.
        assert_eq!((steps[2][1], steps[0][1], steps[4][1]), (Some(1), Some(1), Some(7)));
        assert_eq!(steps[0][0], None);
    }
}
