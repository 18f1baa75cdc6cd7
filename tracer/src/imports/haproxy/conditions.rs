//! Blocks of `.if`, and which lines are in force.

use super::truth::Truth;

/// As many as HAProxy nests.
const DEEPEST: usize = 99;

/// The blocks that are open.
#[derive(Debug, Default)]
pub(super) struct Conditions {
    blocks: Vec<Block>,
}

#[derive(Debug)]
struct Block {
    /// Whether the lines around it are in force.
    around: Truth,
    /// Whether the present branch is taken.
    here: Truth,
    /// Whether one was taken so far, the present one included.
    taken: Truth,
    after_else: bool,
}

impl Conditions {
    /// Whether a line here is in force.
    pub(super) fn in_force(&self) -> Truth {
        self.blocks.last().map_or(Truth::Yes, |block| block.around.and(block.here))
    }

    /// Whether a block is open.
    pub(super) fn is_open(&self) -> bool {
        !self.blocks.is_empty()
    }

    /// `.if`; its condition is only read where it matters.
    ///
    /// # Errors
    /// When HAProxy would refuse it.
    pub(super) fn open(
        &mut self,
        condition: impl FnOnce() -> Result<Truth, &'static str>,
    ) -> Result<(), &'static str> {
        if self.blocks.len() >= DEEPEST {
            return Err("is one .if too many within others: HAProxy takes 99");
        }
        let around = self.in_force();
        let here = if around == Truth::No { Truth::No } else { condition()? };
        self.blocks.push(Block { around, here, taken: here, after_else: false });
        Ok(())
    }

    /// `.elif`; its condition is only read where it matters.
    ///
    /// # Errors
    /// When HAProxy would refuse it.
    pub(super) fn or_if(
        &mut self,
        condition: impl FnOnce() -> Result<Truth, &'static str>,
    ) -> Result<(), &'static str> {
        let block = self.blocks.last_mut().ok_or("there is no .if before this .elif")?;
        if block.after_else {
            return Err("there is an .else before this .elif: change their order");
        }
        if block.around == Truth::No || block.taken == Truth::Yes {
            block.here = Truth::No;
            return Ok(());
        }
        let condition = condition()?;
        block.here = block.taken.not().and(condition);
        block.taken = block.taken.or(condition);
        Ok(())
    }

    /// `.else`.
    ///
    /// # Errors
    /// When HAProxy would refuse it.
    pub(super) fn otherwise(&mut self) -> Result<(), &'static str> {
        let block = self.blocks.last_mut().ok_or("there is no .if before this .else")?;
        if block.after_else {
            return Err("this is the second .else of its .if: keep one");
        }
        block.after_else = true;
        block.here = block.taken.not();
        Ok(())
    }

    /// `.endif`.
    ///
    /// # Errors
    /// When HAProxy would refuse it.
    pub(super) fn close(&mut self) -> Result<(), &'static str> {
        self.blocks.pop().map(drop).ok_or("there is no .if before this .endif")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Truth::{No, Unknown, Yes};

    #[test]
    fn one_branch_is_in_force_or_none_can_be_told() {
        for (first, second, expected) in [
            (Yes, Yes, [Yes, No, No]),
            (No, Yes, [No, Yes, No]),
            (No, No, [No, No, Yes]),
            (Unknown, Yes, [Unknown, Unknown, No]),
            (Unknown, No, [Unknown, No, Unknown]),
            (No, Unknown, [No, Unknown, Unknown]),
        ] {
            let mut conditions = Conditions::default();
            conditions.open(|| Ok(first)).unwrap();
            let in_if = conditions.in_force();
            conditions.or_if(|| Ok(second)).unwrap();
            let in_elif = conditions.in_force();
            conditions.otherwise().unwrap();
            assert_eq!([in_if, in_elif, conditions.in_force()], expected, "{first:?} {second:?}");
            conditions.close().unwrap();
            assert_eq!(conditions.in_force(), Yes);
        }
    }

    #[test]
    fn conditions_in_a_block_that_is_not_taken_are_not_read() {
        let mut conditions = Conditions::default();
        conditions.open(|| Ok(No)).unwrap();
        conditions.open(|| Err("read")).unwrap();
        conditions.or_if(|| Err("read")).unwrap();
        conditions.otherwise().unwrap();
        assert_eq!(conditions.in_force(), No);
        conditions.close().unwrap();
        assert_eq!(conditions.or_if(|| Err("read")), Err("read"));
    }

    #[test]
    fn what_does_not_belong_together_is_refused() {
        let mut conditions = Conditions::default();
        assert!(conditions.or_if(|| Ok(Yes)).is_err());
        assert!(conditions.otherwise().is_err());
        assert!(conditions.close().is_err());
        conditions.open(|| Ok(Yes)).unwrap();
        conditions.otherwise().unwrap();
        assert!(conditions.otherwise().is_err());
        assert!(conditions.or_if(|| Ok(Yes)).is_err());
        (0..98).for_each(|_| conditions.open(|| Ok(Yes)).unwrap());
        assert!(conditions.open(|| Ok(Yes)).is_err());
    }
}
