"""A class of those who attack the machine and its other users."""

import attacks_on_the_machine
from helpers import walled
from hostile import Hostile


@walled
class TestMachine(Hostile):
    answers = attacks_on_the_machine.ANSWERS
