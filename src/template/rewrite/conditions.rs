//! Parts of a condition: operators that know NULL, and columns with their types.
//!
//! In: the syntax tree of one comparison, test or value of a `when:`. Out: its text with the operators of `nulls`, beside which a
//! column stands as a cell with its type. `and`, `or` and `not` between such parts are for `logic`. Also the paths by which an error
//! names what is undefined, in conditions and templates.

use minijinja::machinery::Span;
use minijinja::machinery::ast::{self, BinOpKind, Expr, UnaryOpKind};

use super::{MemberPath, Rewritten};
use crate::template::relation::Relation;
use crate::template::syntax::{Operator, TemplateLink, binary_operator_of, is_none_literal, operator_of, plain_column};

/// Tests of which NULL makes the answer unknown.
pub(super) const TESTS_OF_TEXT: [&str; 3] = ["startingwith", "endingwith", "containing"];

/// Rewrites what is no comparison and no `and`, `or`, `not`.
pub(in crate::template) fn condition(expr: &Expr, source: &str) -> Rewritten {
    let mut rewritten = Rewritten { source: source.to_string(), in_condition: true, ..Rewritten::default() };
    if plain_column(expr).is_some() {
        rewritten.push("_is_true(");
        rewritten.compared(expr);
        rewritten.push(")");
    } else {
        rewritten.expr(expr);
    }
    rewritten
}

/// Rewrites a comparison.
pub(in crate::template) fn condition_link(link: TemplateLink, source: &str) -> Rewritten {
    let mut rewritten = Rewritten { source: source.to_string(), in_condition: true, ..Rewritten::default() };
    rewritten.link(link);
    rewritten
}

/// The beginning of a call of the function for this operator.
fn function_of(operator: Operator) -> String {
    format!("_is_{}(", suffix_of(operator))
}

/// As `function_of`, in templates, where NULL is a value.
pub(super) fn function_of_values(operator: Operator) -> String {
    format!("_{}(", suffix_of(operator))
}

fn suffix_of(operator: Operator) -> &'static str {
    match operator {
        Operator::Is(Relation::Equal) => "eq",
        Operator::Is(Relation::Unequal) => "ne",
        Operator::Is(Relation::Less) => "lt",
        Operator::Is(Relation::AtMost) => "le",
        Operator::Is(Relation::Greater) => "gt",
        Operator::Is(Relation::AtLeast) => "ge",
        Operator::In => "in",
    }
}

/// Whether it is true, false or unknown, whatever the row.
fn is_logical(expr: &Expr) -> bool {
    match expr {
        Expr::UnaryOp(node) => matches!(node.op, UnaryOpKind::Not),
        Expr::BinOp(node) => match node.op {
            BinOpKind::ScAnd | BinOpKind::ScOr => is_logical(&node.left) && is_logical(&node.right),
            operator => binary_operator_of(operator).is_some(),
        },
        Expr::Compare(_) | Expr::Test(_) => true,
        _ => false,
    }
}

impl Rewritten {
    /// What it reads, for the condition as a whole; the text and the environment variables stay.
    pub(in crate::template) fn take_reads(&mut self) -> Rewritten {
        Rewritten {
            columns: std::mem::take(&mut self.columns),
            names: std::mem::take(&mut self.names),
            saga: std::mem::take(&mut self.saga),
            reads_all_columns: self.reads_all_columns,
            ..Rewritten::default()
        }
    }

    pub(super) fn link(&mut self, TemplateLink { left, operator, right }: TemplateLink) {
        let is_none = |expr: &Expr| is_none_literal(expr);
        match (operator, right) {
            (Operator::Is(relation), _) if !relation.orders() && (is_none(left) || is_none(right)) => {
                let value = if is_none(right) { left } else { right };
                let (open, close) =
                    if relation == Relation::Equal { ("_is_none(", ")") } else { ("_is_not(_is_none(", "))") };
                self.wrap(open, value, close);
            }
            (Operator::In, Expr::List(list)) => self.one_of(left, &list.items),
            (Operator::In, Expr::Tuple(tuple)) => self.one_of(left, &tuple.items),
            _ => self.call_of_two(&function_of(operator), left, right),
        }
    }

    fn call_of_two(&mut self, function: &str, left: &Expr, right: &Expr) {
        self.push(function);
        self.compared(left);
        self.push(", ");
        self.compared(right);
        self.push(")");
    }

    fn one_of(&mut self, needle: &Expr, items: &[Expr]) {
        self.push("_one_of(");
        self.compared(needle);
        self.push(", [");
        for item in items.iter().filter(|item| !is_none_literal(item)) {
            self.compared(item);
            self.push(", ");
        }
        let has_none = items.iter().any(is_none_literal);
        self.push(if has_none { "], true)" } else { "], false)" });
    }

    /// A side of a comparison: a column stands with its type, and a text says that the rule has it.
    fn compared(&mut self, expr: &Expr) {
        let begin = self.text.len();
        self.expr(expr);
        if let Some((side, name)) = plain_column(expr) {
            self.text.truncate(begin);
            self.push(if side == "old" { "_typed_old[" } else { "_typed_row[" });
            self.string(name);
            self.push("]");
        } else if let Expr::Const(constant) = expr
            && let Some(text) = constant.value.as_str()
        {
            self.text.truncate(begin);
            self.push("_written(");
            self.string(text);
            self.push(")");
        }
    }

    pub(super) fn binary_of_nulls(&mut self, node: &ast::BinOp) {
        if let Some(operator) = binary_operator_of(node.op) {
            return self.link(TemplateLink { left: &node.left, operator, right: &node.right });
        }
        let (open, between) = match node.op {
            BinOpKind::ScAnd | BinOpKind::ScOr if is_logical(&node.left) && is_logical(&node.right) => {
                let message = "`and` and `or` of comparisons are no value; write the condition without comparing them";
                return self.flaw(node.left.span(), message);
            }
            // Of values, `or` is a replacement.
            BinOpKind::ScAnd => ("(", " and "),
            BinOpKind::ScOr => ("(", " or "),
            BinOpKind::Add => ("_of_add(", ", "),
            BinOpKind::Sub => ("_of_sub(", ", "),
            BinOpKind::Mul => ("_of_mul(", ", "),
            BinOpKind::Concat => ("_of_concat(", ", "),
            BinOpKind::Div => ("_of_div(", ", "),
            BinOpKind::FloorDiv => ("_of_floor(", ", "),
            BinOpKind::Rem => ("_of_rem(", ", "),
            _ => ("_of_pow(", ", "),
        };
        self.wrap(open, &node.left, between);
        self.expr(&node.right);
        self.push(")");
    }

    /// A chain as a value; see `compare` about its middle.
    pub(super) fn compare_nulls(&mut self, node: &ast::Compare) {
        let mut left = &node.expr;
        self.push("(");
        for (i, op) in node.ops.iter().enumerate() {
            if i > 0 && !matches!(left, Expr::Var(_) | Expr::Const(_) | Expr::GetAttr(_)) {
                return self.flaw(left.span(), "write `a < b < c` as `a < b and b < c`");
            }
            self.push(if i == 0 { "" } else { " and " });
            let is_negated = matches!(op.op, ast::CompareOpKind::NotIn);
            self.push(if is_negated { "_is_not(" } else { "" });
            self.link(TemplateLink { left, operator: operator_of(op.op), right: &op.expr });
            self.push(if is_negated { ")" } else { "" });
            left = &op.expr;
        }
        self.push(")");
    }

    pub(super) fn slice_of_null(&mut self, node: &ast::Slice) {
        self.wrap("_slice(", &node.expr, "");
        for bound in [&node.start, &node.stop, &node.step] {
            self.push(", ");
            match bound {
                Some(bound) => self.expr(bound),
                None => self.push("none"),
            }
        }
        self.push(")");
    }

    pub(super) fn test_of_null(&mut self, node: &ast::Spanned<ast::Test>) {
        self.push("_test(");
        self.string(node.name);
        self.push(", ");
        self.expr(&node.expr);
        self.push(", ");
        self.more_arguments(&node.args, node.span());
        self.push(")");
    }

    /// Takes note of the way into a document whose text begins at `begin`.
    pub(super) fn path(&mut self, span: Span, begin: usize, inner: &Expr) {
        let Some((root, place)) = root_of(inner) else { return };
        let written = self.source.get(place.start_offset as usize..span.end_offset as usize).unwrap_or_default();
        let path = MemberPath {
            written: written.trim().to_string(),
            rewritten: self.text[begin..].to_string(),
            is_local: self.is_local(root),
        };
        self.paths.push(path);
    }

    /// Of the paths from the `first` on, drops the one that this is: it may be undefined.
    pub(super) fn forget_path(&mut self, first: usize, expr: &Expr) {
        let Some((_, place)) = root_of(expr) else { return };
        let end = expr.span().end_offset as usize;
        let written = self.source.get(place.start_offset as usize..end).unwrap_or_default().trim();
        if let Some(place) = self.paths[first..].iter().rposition(|path| path.written == written) {
            self.paths.remove(first + place);
        }
    }
}

/// The name at which a way of members begins, with its place: the span of a member begins at its dot.
fn root_of<'e>(expr: &'e Expr) -> Option<(&'e str, Span)> {
    match expr {
        Expr::Var(var) => Some((var.id, var.span())),
        Expr::GetAttr(node) => root_of(&node.expr),
        Expr::GetItem(node) => root_of(&node.expr),
        _ => None,
    }
}
