//! The smallest question that still shows a difference.

use super::facts::Kind::{Bool, Int, Text};
use super::grow::{Node, Part, Place};

/// Cuts a tree down for as long as `shows` holds of what is left.
pub(super) fn shrink(mut tree: Node, mut shows: impl FnMut(&Node) -> bool) -> Node {
    let mut tries = 150;
    'again: loop {
        let mut paths = Vec::new();
        collect(&tree, &mut Vec::new(), &mut paths);
        for path in paths {
            for smaller in smaller(at(&tree, &path)) {
                let candidate = with(&tree, &path, smaller);
                if tries == 0 {
                    return tree;
                }
                tries -= 1;
                if candidate.to_string().len() < tree.to_string().len() && shows(&candidate) {
                    tree = candidate;
                    continue 'again;
                }
            }
        }
        return tree;
    }
}

/// The ways to all nodes, the upper ones first.
fn collect(node: &Node, way: &mut Vec<usize>, ways: &mut Vec<Vec<usize>>) {
    ways.push(way.clone());
    for (part, child) in node.parts.iter().enumerate() {
        if let Part::Node(child) = child {
            way.push(part);
            collect(child, way, ways);
            way.pop();
        }
    }
}

fn at<'a>(tree: &'a Node, way: &[usize]) -> &'a Node {
    way.iter().fold(tree, |node, part| match &node.parts[*part] {
        Part::Node(child) => child,
        Part::Words(words) => panic!("a way to {words}"),
    })
}

fn with(tree: &Node, way: &[usize], new: Node) -> Node {
    let Some((part, rest)) = way.split_first() else { return new };
    let mut tree = tree.clone();
    if let Part::Node(child) = &mut tree.parts[*part] {
        *child = with(child, rest, new);
    }
    tree
}

/// What may stand in a node's place and is smaller.
fn smaller(node: &Node) -> Vec<Node> {
    let leaf = |text: &str| Node { place: node.place, parts: vec![Part::Words(text.to_owned())] };
    let mut found = match node.place {
        Place::Optional => vec![leaf("")],
        Place::Value(Int) => vec![leaf("1"), leaf("CAST(NULL AS BIGINT)")],
        Place::Value(Text) => vec![leaf("''"), leaf("CAST(NULL AS TEXT)")],
        Place::Value(Bool) => vec![leaf("TRUE"), leaf("FALSE"), leaf("(NULL = 1)")],
        Place::Query | Place::Source => Vec::new(),
    };
    let mut ways = Vec::new();
    collect(node, &mut Vec::new(), &mut ways);
    let inside = ways.iter().skip(1).map(|way| at(node, way));
    found.extend(inside.filter(|inner| inner.place == node.place).cloned());
    found
}
