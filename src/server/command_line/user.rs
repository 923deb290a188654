//! `broker-portal user ...`

use clap::{Args, Subcommand};

use super::{CommandError, password_input::read_password, user_list};
use domain::{time::pluralize, user::Role};

use crate::server::{
    output::print_line,
    services::accounts::{Accounts, NewAccount, RegisteredAccount},
};

#[derive(Subcommand)]
pub enum Command {
    /// Create a user, or add an existing user to an organization
    Create(Create),
    /// Disable an account and revoke its sessions
    Disable {
        #[arg(long)]
        email: String,
    },
    /// Enable a disabled account
    Enable {
        #[arg(long)]
        email: String,
    },
    /// Set a new password and revoke the user's sessions
    SetPassword(SetPassword),
    /// List users and their roles, sorted by email
    List(user_list::List),
}

#[derive(Args)]
pub struct Create {
    #[arg(long)]
    email: String,
    #[arg(long)]
    name: String,
    /// guest, employee, vendor, broker, admin (of an organization) or system_admin
    #[arg(long)]
    role: Role,
    /// Organization in which the user has the role. Created if it does not exist. May be repeated
    #[arg(long)]
    organization: Vec<String>,
    /// Read the password from standard input
    #[arg(long, required = true)]
    password_stdin: bool,
}

#[derive(Args)]
pub struct SetPassword {
    #[arg(long)]
    email: String,
    /// Read the password from standard input
    #[arg(long, required = true)]
    password_stdin: bool,
}

pub async fn run(command: &Command, accounts: &Accounts) -> Result<(), CommandError> {
    match command {
        Command::Create(create) => {
            let new = NewAccount {
                email: create.email.clone(),
                display_name: create.name.clone(),
                role: create.role,
                organizations: create.organization.clone(),
                password: read_password()?,
            };
            let RegisteredAccount {
                user,
                is_new,
                created_organizations,
            } = accounts.register(new).await?;
            if is_new {
                print_line!("{} can sign in now (id {user}).", create.email)?;
            } else {
                print_line!(
                    "{} existed already and is now {} of {}. Name and password are unchanged.",
                    create.email,
                    create.role.label().to_lowercase(),
                    create.organization.join(", "),
                )?;
            }
            // Shows a misspelt name.
            for name in created_organizations {
                print_line!("The organization {name:?} is new.")?;
            }
        }
        Command::Disable { email } => {
            let ended = accounts.disable(email).await?;
            print_line!("{email} cannot sign in any more; {} ended.", sessions(ended))?;
        }
        Command::Enable { email } => {
            accounts.enable(email).await?;
            print_line!("{email} can sign in again.")?;
        }
        Command::SetPassword(set) => {
            let ended = accounts.set_password(&set.email, read_password()?).await?;
            print_line!("{} has the new password; {} ended.", set.email, sessions(ended))?;
        }
        Command::List(list) => user_list::run(list, accounts).await?,
    }
    Ok(())
}

fn sessions(count: usize) -> String {
    pluralize(i64::try_from(count).unwrap_or(i64::MAX), "session")
}
