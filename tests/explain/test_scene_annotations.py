import json

import numpy as np
import pytest
from PIL import Image

from bridgelab.benchmark.clevr import Clevr
from bridgelab.benchmark.easy_vqa import EasyVqa
