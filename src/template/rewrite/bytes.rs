//! What a value is for, and so whether a column of bytes is its bytes or their base64.
//!
//! In: the syntax tree of a value. Out: its text for the engine. In front of filters that tell bytes from texts, and where bytes can be
//! sent as they are, a column of bytes is read from a row whose bytes are not yet base64.

use minijinja::machinery::ast::{BinOpKind, Expr};

use super::Rewritten;
use super::filters::is_default;
use crate::template::syntax::plain_column;

/// What a value is for, or one that may take its place.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// It is worked on, or a part of a text.
    Operand,
    /// It is sent as it is, unless it is `omit`.
    Sent,
    /// As `Sent`, where bytes can be sent.
    SentBytes,
    /// Its bytes count; a text may be base64.
    Bytes,
    /// As `Bytes`, where it stands in for them: a text is its bytes in UTF-8.
    BytesInstead,
}

impl Purpose {
    /// That of the replacement of such a value.
    pub(super) fn instead(self) -> Purpose {
        if self == Purpose::Bytes { Purpose::BytesInstead } else { self }
    }

    /// That of a branch of `a if … else b`: a literal stands in for the other side.
    fn of_branch(self, branch: &Expr) -> Purpose {
        if matches!(branch, Expr::Const(_)) { self.instead() } else { self }
    }

    /// That of what decides and is not sent.
    fn of_test(self) -> Purpose {
        if self == Purpose::SentBytes { Purpose::Operand } else { self }
    }
}

impl Rewritten {
    pub(super) fn for_purpose(&mut self, expr: &Expr, purpose: Purpose) {
        match purpose {
            Purpose::Operand => self.expr(expr),
            Purpose::Sent => self.part(expr, true),
            Purpose::SentBytes | Purpose::Bytes | Purpose::BytesInstead => self.bytes(expr, purpose),
        }
    }

    /// A value in which the bytes of a column are not yet base64; a value of any other kind as it is.
    fn bytes(&mut self, expr: &Expr, purpose: Purpose) {
        match expr {
            Expr::Filter(node) if node.name == "unhex" => self.filter_giving(node, "_unhex", Purpose::Operand),
            Expr::Filter(node) if node.name == "unbase64" => self.filter_giving(node, "_unbase64", Purpose::Operand),
            Expr::Filter(node) if is_default(node) => self.filter_giving(node, node.name, purpose),
            Expr::IfExpr(node) => {
                self.push("(");
                self.bytes(&node.true_expr, purpose.of_branch(&node.true_expr));
                self.push(" if ");
                self.expr(&node.test_expr);
                if let Some(other) = &node.false_expr {
                    self.push(" else ");
                    self.bytes(other, purpose.of_branch(other));
                }
                self.push(")");
            }
            Expr::BinOp(node) if matches!(node.op, BinOpKind::ScOr) => {
                self.push("(");
                self.bytes(&node.left, purpose);
                self.push(" or ");
                self.bytes(&node.right, purpose.instead());
                self.push(")");
            }
            Expr::BinOp(node) if matches!(node.op, BinOpKind::ScAnd) => {
                self.push("(");
                self.for_purpose(&node.left, purpose.of_test());
                self.push(" and ");
                self.bytes(&node.right, purpose);
                self.push(")");
            }
            other => match (plain_column(other), purpose) {
                (Some((side, name)), _) => self.bytes_column(other, side, name, purpose),
                (None, Purpose::SentBytes) => self.part(other, true),
                (None, Purpose::BytesInstead) => self.wrap("_bytes(", other, ")"),
                (None, _) => self.expr(other),
            },
        }
    }

    /// A column, read from the row whose bytes are not yet base64.
    fn bytes_column(&mut self, expr: &Expr, side: &str, name: &str, purpose: Purpose) {
        let is_instead = purpose == Purpose::BytesInstead;
        self.push(if is_instead { "_bytes(" } else { "" });
        // What it reads is noted as of any column.
        let begin = self.text.len();
        self.expr(expr);
        self.text.truncate(begin);
        self.push(if side == "old" { "_bytes_old[" } else { "_bytes_row[" });
        self.string(name);
        self.push(if is_instead { "])" } else { "]" });
    }
}
