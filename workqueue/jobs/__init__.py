"""What a job is: states, names, options, content, retries. Pure: nothing here touches a disk or a clock."""
