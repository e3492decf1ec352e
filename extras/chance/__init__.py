"""What other seeds do: further trainings on the old data and the new tell what the new data brought from chance."""

from extras.chance.finding import find_chance
from extras.chance.trainings import FurtherTrainings

__all__ = ["FurtherTrainings", "find_chance"]
