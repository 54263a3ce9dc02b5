//! Expression trees: an arena in which every subtree is one run of nodes, children before parents.
//!
//! That order makes every pass over a tree a plain loop, so that no depth of nesting can overflow a stack.

use super::rational::{Fuel, Rational, Stop};

/// Index of a node.
pub(super) type Id = usize;

/// What kind of bracket opens or closes a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Bracket {
    /// No bracket: the outermost list.
    None,
    /// `(`.
    Round,
    /// `[`.
    Square,
    /// `\{`: a set.
    Set,
    /// `{`: groups in LaTeX; with commas inside it is a set of a careless writer.
    Brace,
    /// `\langle`.
    Angle,
    /// `|`.
    Bar,
    /// `\lfloor`.
    Floor,
    /// `\lceil`.
    Ceil,
}

/// Relations.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Relation {
    Equal,
    NotEqual,
    Less,
    LessEqual,
    Greater,
    GreaterEqual,
    /// `\approx`.
    Near,
    In,
    /// `\equiv`.
    Congruent,
    /// `\to`, `\Rightarrow`.
    Arrow,
    Subset,
    /// The bar of a set of all x with a property.
    Given,
}

impl Relation {
    /// The same relation read from right to left.
    pub(super) fn flipped(self) -> Self {
        match self {
            Self::Less => Self::Greater,
            Self::LessEqual => Self::GreaterEqual,
            Self::Greater => Self::Less,
            Self::GreaterEqual => Self::LessEqual,
            other => other,
        }
    }

    pub(super) fn is_order(self) -> bool {
        matches!(
            self,
            Self::Less | Self::LessEqual | Self::Greater | Self::GreaterEqual
        )
    }
}

/// Named functions of one argument (and `Max`, `Min`, `Gcd`, `Lcm` of a list).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Function {
    Sin,
    Cos,
    Tan,
    Cot,
    Sec,
    Csc,
    Arcsin,
    Arccos,
    Arctan,
    Sinh,
    Cosh,
    Tanh,
    Ln,
    /// Kids: argument, base.
    Log,
    Exp,
    Sqrt,
    /// Kids: argument, index.
    Root,
    Abs,
    Floor,
    Ceil,
    Binomial,
    Max,
    Min,
    Gcd,
    Lcm,
}

/// Constants with a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Constant {
    Pi,
    E,
    I,
    Infinity,
    EmptySet,
    Reals,
    Integers,
    Naturals,
    Rationals,
    Complexes,
}

/// Operators over an index.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Big {
    Sum,
    Product,
    Integral,
    Limit,
}

/// What a node is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Op {
    /// Index into the numbers; true if written with a decimal point.
    Number(usize, bool),
    /// A letter or an unknown command: index into the names.
    Name(usize),
    /// Text: index into the names.
    Word(usize),
    Constant(Constant),
    Negate,
    Add,
    Subtract,
    PlusMinus,
    MinusPlus,
    Multiply,
    Divide,
    Power,
    /// Kids: base, index.
    Subscript,
    Factorial,
    Percent,
    Degree,
    Prime,
    Function(Function),
    /// A name applied to arguments: `f(x)`.  Kids: name, arguments.
    Apply,
    /// Kids: lower end, upper end, body (each a whole subtree).
    Big(Big),
    Relation(Relation),
    Ratio,
    Union,
    Intersection,
    Without,
    /// A list in its brackets.
    List(Bracket, Bracket),
    /// Kids row by row; number of columns.
    Matrix(usize),
    /// Nothing where something should stand: the left side of `> 5`.
    Missing,
}

/// A node: its kind, its children (a run in the list of kids), and the first node of its subtree.
#[derive(Clone, Copy, Debug)]
pub(super) struct Node {
    pub(super) op: Op,
    kids: (usize, usize),
    pub(super) first: Id,
}

/// Trees that share one arena.
///
/// # Example
/// ```
/// use groupwise_reward::verifiers::math::parse;
/// assert_eq!(parse(r"\dfrac12x").map(|tree| tree.to_string()).as_deref(), Ok(r"\frac{1}{2}\cdot x"));
/// assert!(parse(r"\frac{1}{").is_err());
/// ```
#[derive(Clone, Debug, Default)]
pub struct Tree {
    nodes: Vec<Node>,
    kids: Vec<Id>,
    names: Vec<String>,
    numbers: Vec<Rational>,
    /// Numbers written with a zero in front: the minutes of `1:05`.
    padded: Vec<usize>,
    root: Id,
}

impl Tree {
    pub(super) fn root(&self) -> Id {
        self.root
    }

    pub(super) fn set_root(&mut self, root: Id) {
        self.root = root;
    }

    pub(super) fn node(&self, id: Id) -> Node {
        self.nodes[id]
    }

    pub(super) fn op(&self, id: Id) -> Op {
        self.nodes[id].op
    }

    pub(super) fn kids(&self, id: Id) -> &[Id] {
        let (start, len) = self.nodes[id].kids;
        &self.kids[start..start + len]
    }

    pub(super) fn kid(&self, id: Id, k: usize) -> Id {
        self.kids(id)[k]
    }

    pub(super) fn name(&self, index: usize) -> &str {
        &self.names[index]
    }

    pub(super) fn number(&self, index: usize) -> &Rational {
        &self.numbers[index]
    }

    /// Index of a name; the same text has one index.
    pub(super) fn intern(&mut self, name: &str, fuel: &mut Fuel) -> Result<usize, Stop> {
        fuel.spend(self.names.len() as u64 / 16)?;
        Ok(match self.names.iter().position(|known| known == name) {
            Some(at) => at,
            None => {
                self.names.push(name.to_owned());
                self.names.len() - 1
            }
        })
    }

    pub(super) fn push_number(&mut self, value: Rational, decimal: bool) -> Id {
        self.numbers.push(value);
        self.push(Op::Number(self.numbers.len() - 1, decimal), &[])
    }

    /// Notes that the number pushed last is written with a zero in front.
    pub(super) fn note_padding(&mut self) {
        self.padded.extend(self.numbers.len().checked_sub(1));
    }

    pub(super) fn is_padded(&self, index: usize) -> bool {
        self.padded.binary_search(&index).is_ok()
    }

    pub(super) fn push_name(&mut self, name: &str, fuel: &mut Fuel) -> Result<Id, Stop> {
        let name = self.intern(name, fuel)?;
        Ok(self.push(Op::Name(name), &[]))
    }

    /// Appends a node whose kids stand already, in the order of their creation.
    pub(super) fn push(&mut self, op: Op, kids: &[Id]) -> Id {
        let id = self.nodes.len();
        let first = kids.iter().map(|kid| self.nodes[*kid].first).min().unwrap_or(id);
        let start = self.kids.len();
        self.kids.extend_from_slice(kids);
        self.nodes.push(Node {
            op,
            kids: (start, kids.len()),
            first,
        });
        id
    }

    /// True if the subtrees are the same, number by number and name by name.
    pub(super) fn same(&self, a: Id, b: Id) -> bool {
        self.size(a) == self.size(b)
            && self
                .subtree(a)
                .zip(self.subtree(b))
                .all(|(x, y)| self.same_node(x, y))
    }

    fn same_node(&self, a: Id, b: Id) -> bool {
        let (x, y) = (self.nodes[a], self.nodes[b]);
        if x.kids.1 != y.kids.1 {
            return false;
        }
        match (x.op, y.op) {
            (Op::Number(i, _), Op::Number(j, _)) => self.numbers[i] == self.numbers[j],
            (op, other) => op == other,
        }
    }

    /// Number of nodes of a subtree.
    pub(super) fn size(&self, id: Id) -> usize {
        id + 1 - self.nodes[id].first
    }

    /// Nodes of a subtree, children before parents.
    pub(super) fn subtree(&self, id: Id) -> std::ops::RangeInclusive<Id> {
        self.nodes[id].first..=id
    }

    /// True if a number of the subtree is written with a decimal point.
    pub(super) fn has_decimal(&self, id: Id) -> bool {
        self.subtree(id)
            .any(|n| matches!(self.nodes[n].op, Op::Number(_, true)))
    }

    /// True if the subtree holds such a node.
    pub(super) fn holds(&self, id: Id, wanted: impl Fn(Op) -> bool) -> bool {
        self.subtree(id).any(|n| wanted(self.nodes[n].op))
    }
}
