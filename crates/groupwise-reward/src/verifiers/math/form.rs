//! What an answer is: a number, a list, a set, an equation, a relation, a matrix.

use super::algebra::{Algebra, Fraction, Percent, Setting};
use super::rational::Stop;
use super::tree::{Bracket, Constant, Function, Id, Op, Relation, Tree};

/// Deepest nesting of lists and sets that is compared.
const MAX_DEPTH: u32 = 24;

/// A list, by its brackets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shape {
    /// `1, 2`.
    Bare,
    /// `{1, 2}` without backslash.
    Brace,
    /// `\{1, 2\}`.
    Set,
    /// Any other: a tuple, a point, an interval.
    Brackets(Bracket, Bracket),
}

/// An expression with the sign its `\pm` has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Scalar {
    pub(super) id: Id,
    pub(super) upper_sign: bool,
}

/// An answer as a whole.
#[derive(Clone, Debug)]
pub(super) enum Form {
    Scalar(Scalar),
    List(Shape, Vec<Form>),
    /// `name = value`.
    Assign(Scalar, Box<Form>),
    Equation(Scalar, Scalar),
    /// Terms of a chain of `<`, `\le`, `>`, `\ge`.
    Order(Vec<(Scalar, Relation, Scalar)>),
    /// Any other relation.
    Relation(Scalar, Relation, Scalar),
    /// `name \in set`.
    Member(Scalar, Box<Form>),
    /// Union, intersection, difference of two sets.
    SetOperation(Op, Box<Form>, Box<Form>),
    Named(Constant),
    Matrix(usize, Vec<Scalar>),
}

impl Form {
    /// Reads the form of a subtree.
    pub(super) fn of(tree: &Tree, root: Id, algebra: &mut Algebra) -> Result<Self, Stop> {
        build(
            tree,
            Scalar {
                id: root,
                upper_sign: true,
            },
            0,
            algebra,
        )
    }
}

fn build(tree: &Tree, at: Scalar, depth: u32, algebra: &mut Algebra) -> Result<Form, Stop> {
    if depth > MAX_DEPTH {
        return Err(Stop::Limit);
    }
    algebra.fuel.spend(1)?;
    match tree.op(at.id) {
        Op::List(open, close) => list(tree, at, (open, close), depth, algebra),
        Op::Relation(_) => relation(tree, at, depth, algebra),
        Op::Union | Op::Intersection | Op::Without => {
            let mut side = |k| {
                let id = tree.kid(at.id, k);
                build(tree, Scalar { id, ..at }, depth + 1, algebra).map(Box::new)
            };
            Ok(Form::SetOperation(tree.op(at.id), side(0)?, side(1)?))
        }
        Op::Constant(constant) if is_set(constant) => Ok(Form::Named(constant)),
        // A system of equations.
        Op::Matrix(1)
            if tree
                .kids(at.id)
                .iter()
                .any(|kid| matches!(tree.op(*kid), Op::Relation(_))) =>
        {
            let kids = tree.kids(at.id).iter();
            let rows = kids.map(|kid| build(tree, Scalar { id: *kid, ..at }, depth + 1, algebra));
            Ok(Form::List(Shape::Bare, rows.collect::<Result<_, _>>()?))
        }
        Op::Matrix(columns) => {
            let entry = |id: &Id| Scalar { id: *id, ..at };
            Ok(Form::Matrix(
                columns,
                tree.kids(at.id).iter().map(entry).collect(),
            ))
        }
        _ if at.upper_sign && has_signs(tree, at.id) => {
            let lower = Scalar {
                upper_sign: false,
                ..at
            };
            Ok(Form::List(
                Shape::Bare,
                vec![Form::Scalar(at), Form::Scalar(lower)],
            ))
        }
        _ => Ok(Form::Scalar(at)),
    }
}

fn is_set(constant: Constant) -> bool {
    !matches!(
        constant,
        Constant::Pi | Constant::E | Constant::I | Constant::Infinity
    )
}

fn has_signs(tree: &Tree, id: Id) -> bool {
    tree.holds(id, |op| matches!(op, Op::PlusMinus | Op::MinusPlus))
}

fn list(
    tree: &Tree,
    at: Scalar,
    (open, close): (Bracket, Bracket),
    depth: u32,
    algebra: &mut Algebra,
) -> Result<Form, Stop> {
    let shape = match (open, close) {
        (Bracket::None, _) => Shape::Bare,
        (Bracket::Brace, _) => Shape::Brace,
        (Bracket::Set, _) => Shape::Set,
        (Bracket::Angle, _) => Shape::Brackets(Bracket::Round, Bracket::Round),
        (open, close) => Shape::Brackets(open, close),
    };
    let ordered = matches!(shape, Shape::Brackets(..));
    // `(\pm 1, 2)` is two points.
    if ordered && at.upper_sign && has_signs(tree, at.id) {
        let both = [true, false].map(|upper_sign| fixed_list(tree, Scalar { upper_sign, ..at }, shape));
        return Ok(Form::List(Shape::Bare, both.into()));
    }
    if ordered && !at.upper_sign {
        return Ok(fixed_list(tree, at, shape));
    }
    let kids = tree.kids(at.id);
    algebra.fuel.spend(kids.len() as u64)?;
    if let [only] = kids
        && tree.op(*only) == Op::Relation(Relation::Given)
    {
        // All x with a property: the set that the property describes.
        let property = Scalar {
            id: tree.kid(*only, 1),
            ..at
        };
        let property = Box::new(build(tree, property, depth + 1, algebra)?);
        return Ok(Form::SetOperation(Op::Union, property.clone(), property));
    }
    let mut items = Vec::with_capacity(kids.len());
    for kid in kids {
        match build(tree, Scalar { id: *kid, ..at }, depth + 1, algebra)? {
            // Both values of `\pm` are elements.
            Form::List(Shape::Bare, both) if has_signs(tree, *kid) && shape != Shape::Bare => {
                items.extend(both)
            }
            Form::List(Shape::Bare, both) if !matches!(tree.op(*kid), Op::List(..)) => items.extend(both),
            item => items.push(item),
        }
    }
    Ok(settled(shape, items))
}

/// A list whose name stands at its first element, and a list of one.
fn settled(shape: Shape, mut items: Vec<Form>) -> Form {
    // `a = 4, -8, -10`: the name is that of the whole list.
    let named_once = items.len() > 1
        && matches!(items.first(), Some(Form::Assign(..)))
        && items.iter().skip(1).all(|item| matches!(item, Form::Scalar(_)));
    if shape == Shape::Bare
        && named_once
        && let Some(Form::Assign(name, value)) = items.first().cloned()
    {
        if let Some(first) = items.first_mut() {
            *first = *value;
        }
        return Form::Assign(name, Box::new(Form::List(shape, items)));
    }
    if items.len() == 1 && matches!(shape, Shape::Bare | Shape::Brace | Shape::Set) {
        return match items.pop() {
            Some(item) if shape != Shape::Set || !matches!(item, Form::List(..)) => item,
            item => Form::List(shape, item.into_iter().collect()),
        };
    }
    Form::List(shape, items)
}

fn fixed_list(tree: &Tree, at: Scalar, shape: Shape) -> Form {
    let item = |id: &Id| Form::Scalar(Scalar { id: *id, ..at });
    Form::List(shape, tree.kids(at.id).iter().map(item).collect())
}

/// Terms and relations of a chain, left to right.
fn chain(tree: &Tree, root: Id) -> (Vec<Id>, Vec<Relation>) {
    let (mut terms, mut relations) = (Vec::new(), Vec::new());
    let mut at = root;
    while let Op::Relation(relation) = tree.op(at) {
        terms.push(tree.kid(at, 1));
        relations.push(relation);
        at = tree.kid(at, 0);
    }
    terms.push(at);
    terms.reverse();
    relations.reverse();
    (terms, relations)
}

fn relation(tree: &Tree, at: Scalar, depth: u32, algebra: &mut Algebra) -> Result<Form, Stop> {
    let (mut terms, mut relations) = chain(tree, at.id);
    algebra.fuel.spend(terms.len() as u64)?;
    if let Some(arrow) = relations.iter().rposition(|r| *r == Relation::Arrow) {
        terms.drain(..=arrow);
        relations.drain(..=arrow);
    }
    if let Some(near) = relations.iter().position(|r| *r == Relation::Near) {
        if near == 0 && terms.first().is_some_and(|first| is_name(tree, *first)) {
            relations.truncate(1);
            relations.fill(Relation::Equal);
            terms.truncate(2);
        } else {
            relations.truncate(near);
            terms.truncate(near + 1);
        }
    }
    let scalar = |id: Id| Scalar { id, ..at };
    match (terms.as_slice(), relations.as_slice()) {
        ([only], _) => build(tree, scalar(*only), depth + 1, algebra),
        ([name, set], [Relation::In]) => {
            let set = build(tree, scalar(*set), depth + 1, algebra)?;
            Ok(Form::Member(scalar(*name), Box::new(set)))
        }
        (terms, relations) if relations.iter().all(|r| *r == Relation::Equal) => {
            equalities(tree, at, terms, depth, algebra)
        }
        (terms, relations) if relations.iter().all(|r| r.is_order()) => {
            let pairs = terms.windows(2).zip(relations);
            let pairs = pairs.filter_map(|(pair, r)| match pair {
                [a, b] => Some((scalar(*a), *r, scalar(*b))),
                _ => None,
            });
            Ok(Form::Order(pairs.collect()))
        }
        ([a, b], [relation]) => Ok(Form::Relation(scalar(*a), *relation, scalar(*b))),
        _ => Err(Stop::Undefined),
    }
}

/// `a = b` and longer chains: a name and its value, or an equation.
fn equalities(
    tree: &Tree,
    at: Scalar,
    terms: &[Id],
    depth: u32,
    algebra: &mut Algebra,
) -> Result<Form, Stop> {
    let scalar = |id: Id| Scalar { id, ..at };
    let (Some(first), Some(last)) = (terms.first(), terms.last()) else {
        return Err(Stop::Undefined);
    };
    let named = terms.iter().position(|term| is_name(tree, *term));
    let value = match (terms.len(), named) {
        (2, Some(1)) if is_constant(tree, *first) => *first,
        (2, Some(0)) => *last,
        (2, _) => {
            let constants = is_constant(tree, *first) && is_constant(tree, *last);
            if constants && are_equal(tree, scalar(*first), scalar(*last), algebra)? {
                return build(tree, scalar(*last), depth + 1, algebra);
            }
            return Ok(Form::Equation(scalar(*first), scalar(*last)));
        }
        (_, Some(_)) => *last,
        (_, None) if is_constant(tree, *first) => return build(tree, scalar(*last), depth + 1, algebra),
        (_, None) => return Ok(Form::Equation(scalar(*first), scalar(*last))),
    };
    let name = named.and_then(|at| terms.get(at)).copied().unwrap_or(*first);
    let value = build(tree, scalar(value), depth + 1, algebra)?;
    Ok(Form::Assign(scalar(name), Box::new(value)))
}

fn are_equal(tree: &Tree, a: Scalar, b: Scalar, algebra: &mut Algebra) -> Result<bool, Stop> {
    let mut value = |s: Scalar| {
        let setting = Setting {
            upper_sign: s.upper_sign,
            ..Setting::default()
        };
        algebra.evaluate(tree, s.id, &setting)
    };
    match (value(a), value(b)) {
        (Ok(a), Ok(b)) => algebra.equal(&a, &b),
        (Err(Stop::Limit), _) | (_, Err(Stop::Limit)) => Err(Stop::Limit),
        _ => Ok(false),
    }
}

/// True if nothing in the subtree is a name or a word.
pub(super) fn is_constant(tree: &Tree, id: Id) -> bool {
    !tree.holds(id, |op| matches!(op, Op::Name(_) | Op::Word(_) | Op::Missing))
}

/// True for what is given a value by an equation: `x`, `a_1`, `f(x)`, `|AB|`, `A:B`, `(p, q)`, `\text{Area}`.
pub(super) fn is_name(tree: &Tree, id: Id) -> bool {
    if tree.size(id) > 64 {
        return false;
    }
    match tree.op(id) {
        Op::Name(_) | Op::Word(_) => true,
        Op::Subscript => is_name(tree, tree.kid(id, 0)),
        Op::Apply | Op::Prime => true,
        Op::Function(Function::Abs) => is_product_of_points(tree, tree.kid(id, 0)),
        Op::Multiply => is_product_of_points(tree, id),
        Op::Ratio => tree.kids(id).iter().all(|kid| is_product_of_points(tree, *kid)),
        Op::List(Bracket::Round, Bracket::Round) => tree.kids(id).iter().all(|kid| is_name(tree, *kid)),
        _ => false,
    }
}

/// `AB`, `\angle ABC`, `\text{Percent Loss}`: capital letters, commands and words, side by side.
fn is_product_of_points(tree: &Tree, id: Id) -> bool {
    let is_point = |name: &str| {
        let one = name.chars().count() == 1;
        !one && !name.starts_with('\\') || name.starts_with(|c: char| c.is_uppercase()) || name == "m"
    };
    tree.subtree(id).all(|n| match tree.op(n) {
        Op::Name(name) => is_point(tree.name(name)),
        Op::Word(_) | Op::Multiply | Op::Subscript | Op::Prime => true,
        Op::Number(..) => matches!(tree.op(id), Op::Subscript),
        _ => false,
    })
}

/// True if the last thing written is a percent sign.
pub(super) fn is_percentage(tree: &Tree, mut id: Id) -> bool {
    while tree.op(id) == Op::Negate {
        id = tree.kid(id, 0);
    }
    tree.op(id) == Op::Percent
}

/// Most units at the end of one expression.
const MAX_UNITS: usize = 6;

/// Units at the right end of an expression: nodes that count as 1, and the last unit as text.
pub(super) fn units(tree: &Tree, root: Id) -> (Vec<Id>, Option<String>) {
    let mut erased = Vec::new();
    let mut unit = None;
    let mut at = root;
    while erased.len() < MAX_UNITS {
        let (op, kids) = (tree.op(at), tree.kids(at));
        match (op, kids) {
            (Op::Add | Op::Subtract | Op::PlusMinus | Op::MinusPlus | Op::Ratio, [_, right]) => at = *right,
            (Op::Negate, [inner]) => at = *inner,
            (Op::Degree, _) => {
                unit = unit.or_else(|| Some("degrees".to_owned()));
                break;
            }
            (Op::Multiply | Op::Divide, [left, right]) if is_unit(tree, *right) && !is_unit(tree, *left) => {
                erased.push(*right);
                unit = unit.or_else(|| unit_text(tree, *right));
                at = *left;
            }
            _ => break,
        }
    }
    (erased, unit)
}

fn unit_text(tree: &Tree, id: Id) -> Option<String> {
    let mut words = tree.subtree(id).rev().filter_map(|n| match tree.op(n) {
        Op::Word(word) => Some(tree.name(word)),
        _ => None,
    });
    words.next().map(str::to_owned)
}

/// Words, their powers, products and quotients.
fn is_unit(tree: &Tree, id: Id) -> bool {
    let multiplier = |word: &str| matches!(word, "hundred" | "thousand" | "million" | "billion" | "trillion");
    if tree.size(id) > 32 {
        return false;
    }
    match tree.op(id) {
        Op::Word(word) => tree.name(word).chars().count() > 1 && !multiplier(tree.name(word)),
        Op::Power => is_unit(tree, tree.kid(id, 0)),
        Op::Multiply | Op::Divide => tree.kids(id).iter().all(|kid| is_unit(tree, *kid)),
        _ => false,
    }
}

/// The setting to evaluate a scalar with.
pub(super) fn setting(
    tree: &Tree,
    scalar: Scalar,
    percent: Percent,
    bound: &[(String, Fraction)],
) -> Setting {
    Setting {
        percent,
        upper_sign: scalar.upper_sign,
        bound: bound.to_vec(),
        erased: units(tree, scalar.id).0,
    }
}
