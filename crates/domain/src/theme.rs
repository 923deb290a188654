//! The colour theme.

use super::named_values::named_values;

named_values! {
    /// The theme of the pages in one browser.
    #[derive(Default)]
    pub enum Theme {
        Light = "light", "Light";
        Dark = "dark", "Dark";
        /// As the operating system.
        #[default]
        System = "system", "System";
    }
}

impl Theme {
    /// The value of `<html data-theme>`. `None`: the operating system decides.
    pub fn attribute(self) -> Option<&'static str> {
        (self != Theme::System).then_some(self.as_str())
    }
}
