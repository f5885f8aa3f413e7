"""What every room uses: errors, results, frames, HTML, the order of migrations. Talks to no database."""
