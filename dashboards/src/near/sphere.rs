//! Points on the unit sphere, found by their distance: an octree over the cube around it.
//!
//! A straight line through the globe is longer exactly when the way around it is, so in space there is no antimeridian and
//! no pole. Most devices move within their leaf, which costs one write. Pure. Must never visit a node that is further away
//! than what is asked for.

use std::{cmp::Reverse, collections::BinaryHeap};

/// A place, as a vector of length one.
pub(crate) type Vector = [f64; 3];

/// The place at so many degrees.
pub(crate) fn vector(latitude: f64, longitude: f64) -> Vector {
    let (latitude_sin, latitude_cos) = latitude.to_radians().sin_cos();
    let (longitude_sin, longitude_cos) = longitude.to_radians().sin_cos();
    [latitude_cos * longitude_cos, latitude_cos * longitude_sin, latitude_sin]
}

/// Points of a leaf before it is divided: measured, larger ones make moving cheaper and finding dearer.
const LEAF_POINTS_MAX: usize = 32;

/// Leaves are not divided below half a metre: more points than a leaf should have are at one place then.
const DEPTH_MAX: u32 = 24;

/// The cube of a node.
#[derive(Clone, Copy)]
struct Cube {
    centre: Vector,
    half: f64,
}

#[derive(Clone, Copy, Debug)]
struct Point {
    at: Vector,
    number: u32,
}

#[derive(Debug)]
enum Node {
    Leaf(Vec<Point>),
    /// By octant; 0 where there is none, since the root is nobody's child.
    Inner([u32; 8]),
}

/// Numbered points.
#[derive(Debug)]
pub(crate) struct Sphere {
    /// The first is the root.
    nodes: Vec<Node>,
    unused: Vec<u32>,
}

impl Cube {
    const ALL: Self = Self {
        centre: [0.0; 3],
        half: 1.0,
    };

    fn octant(&self, at: &Vector) -> usize {
        let side = |axis: usize| usize::from(at[axis] >= self.centre[axis]) << axis;
        side(0) | side(1) | side(2)
    }

    /// The cube of an octant. Halves are powers of two, so that nothing is ever rounded.
    fn within(&self, octant: usize) -> Self {
        let half = self.half / 2.0;
        let side = |axis: usize| if octant >> axis & 1 == 1 { half } else { -half };
        let centre = [0, 1, 2].map(|axis| self.centre[axis] + side(axis));
        Self { centre, half }
    }

    /// The square of the distance to its nearest point.
    fn distance2(&self, from: &Vector) -> f64 {
        let beyond = |axis: usize| ((from[axis] - self.centre[axis]).abs() - self.half).max(0.0);
        [0, 1, 2].into_iter().map(|axis| beyond(axis) * beyond(axis)).sum()
    }
}

/// The square of the straight line between two places.
pub(crate) fn chord2(one: &Vector, other: &Vector) -> f64 {
    let square = |axis: usize| (one[axis] - other[axis]) * (one[axis] - other[axis]);
    square(0) + square(1) + square(2)
}

impl Default for Sphere {
    fn default() -> Self {
        Self {
            nodes: vec![Node::Leaf(Vec::new())],
            unused: Vec::new(),
        }
    }
}

impl Sphere {
    /// Puts a point that is not there yet.
    pub(crate) fn insert(&mut self, number: u32, at: Vector) {
        self.insert_below(0, Cube::ALL, 0, Point { at, number });
    }

    /// Takes out a point that is there.
    pub(crate) fn remove(&mut self, number: u32, at: &Vector) {
        self.remove_below(0, Cube::ALL, number, at);
    }

    /// Moves a point that is there.
    pub(crate) fn relocate(&mut self, number: u32, from: &Vector, to: Vector) {
        let (mut node, mut cube, mut depth) = (0, Cube::ALL, 0);
        loop {
            match &mut self.nodes[node as usize] {
                Node::Leaf(points) => {
                    let point = points.iter_mut().find(|point| point.number == number);
                    point.expect("it is there").at = to;
                    return;
                }
                Node::Inner(children) if cube.octant(from) == cube.octant(&to) => {
                    let octant = cube.octant(&to);
                    (node, cube, depth) = (children[octant], cube.within(octant), depth + 1);
                }
                Node::Inner(_) => {
                    // In this order, so that the node stays.
                    self.insert_below(node, cube, depth, Point { at: to, number });
                    self.remove_below(node, cube, number, from);
                    return;
                }
            }
        }
    }

    fn insert_below(&mut self, mut node: u32, mut cube: Cube, mut depth: u32, point: Point) {
        loop {
            match &mut self.nodes[node as usize] {
                Node::Leaf(points) if points.len() < LEAF_POINTS_MAX || depth >= DEPTH_MAX => {
                    points.push(point);
                    return;
                }
                Node::Leaf(points) => {
                    let points = std::mem::take(points);
                    self.nodes[node as usize] = Node::Inner([0; 8]);
                    for point in points {
                        self.insert_below(node, cube, depth, point);
                    }
                }
                Node::Inner(children) => {
                    let octant = cube.octant(&point.at);
                    let child = match children[octant] {
                        0 => self.add_leaf(node, octant),
                        child => child,
                    };
                    (node, cube, depth) = (child, cube.within(octant), depth + 1);
                }
            }
        }
    }

    fn add_leaf(&mut self, parent: u32, octant: usize) -> u32 {
        let leaf = Node::Leaf(Vec::new());
        let child = match self.unused.pop() {
            Some(unused) => {
                self.nodes[unused as usize] = leaf;
                unused
            }
            None => {
                self.nodes.push(leaf);
                u32::try_from(self.nodes.len() - 1).expect("there are fewer nodes than points, which have 32 bits")
            }
        };
        if let Node::Inner(children) = &mut self.nodes[parent as usize] {
            children[octant] = child;
        }
        child
    }

    /// True when nothing is left below. Only the root stays then.
    fn remove_below(&mut self, node: u32, cube: Cube, number: u32, at: &Vector) -> bool {
        let octant = cube.octant(at);
        let child = match &mut self.nodes[node as usize] {
            Node::Leaf(points) => {
                let index = points.iter().position(|point| point.number == number);
                points.swap_remove(index.expect("it is there"));
                return points.is_empty();
            }
            Node::Inner(children) => children[octant],
        };
        if !self.remove_below(child, cube.within(octant), number, at) {
            return false;
        }
        self.nodes[child as usize] = Node::Leaf(Vec::new());
        self.unused.push(child);
        let Node::Inner(children) = &mut self.nodes[node as usize] else {
            unreachable!("it has a child");
        };
        children[octant] = 0;
        let is_empty = *children == [0; 8];
        if is_empty {
            self.nodes[node as usize] = Node::Leaf(Vec::new());
        }
        is_empty
    }

    /// Shows points, nearer ones mostly first, to `visit` with the square of their distance. What `visit` returns is the
    /// largest such square that is still of interest, as is `bound` before the first one.
    pub(crate) fn nearest(&self, from: &Vector, mut bound: f64, mut visit: impl FnMut(u32, f64) -> f64) {
        let mut waiting = BinaryHeap::from([Waiting {
            distance2: Reverse(Ordered(Cube::ALL.distance2(from))),
            node: 0,
            cube: Cube::ALL,
        }]);
        while let Some(Waiting { distance2, node, cube }) = waiting.pop() {
            if distance2.0.0 > bound {
                return;
            }
            match &self.nodes[node as usize] {
                Node::Leaf(points) => {
                    for point in points {
                        let distance2 = chord2(from, &point.at);
                        if distance2 <= bound {
                            bound = visit(point.number, distance2);
                        }
                    }
                }
                Node::Inner(children) => {
                    for (octant, child) in children.iter().enumerate().filter(|(_, child)| **child != 0) {
                        let cube = cube.within(octant);
                        let distance2 = cube.distance2(from);
                        if distance2 <= bound {
                            waiting.push(Waiting {
                                distance2: Reverse(Ordered(distance2)),
                                node: *child,
                                cube,
                            });
                        }
                    }
                }
            }
        }
    }

    /// Memory that it takes.
    pub(crate) fn weight_bytes(&self) -> usize {
        let points = self.nodes.iter().map(|node| match node {
            Node::Leaf(points) => points.capacity() * size_of::<Point>(),
            Node::Inner(_) => 0,
        });
        self.nodes.capacity() * size_of::<Node>() + self.unused.capacity() * size_of::<u32>() + points.sum::<usize>()
    }
}

/// A node that is still to be looked at; the nearest comes out of a heap first.
struct Waiting {
    distance2: Reverse<Ordered>,
    node: u32,
    cube: Cube,
}

/// A number that is one, in its order.
#[derive(Clone, Copy, PartialEq)]
struct Ordered(f64);

impl Eq for Ordered {}

impl PartialOrd for Ordered {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Ordered {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.0.total_cmp(&other.0)
    }
}

impl PartialEq for Waiting {
    fn eq(&self, other: &Self) -> bool {
        self.distance2 == other.distance2
    }
}

impl Eq for Waiting {}

impl PartialOrd for Waiting {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Waiting {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.distance2.cmp(&other.distance2)
    }
}
